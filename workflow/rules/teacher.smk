# The multi-step teacher.
rule teacher:
    input:
        INPUTS["teacher"],
    output:
        RECEIPT["teacher"],
    params:
        experiment=E,
        digest=JOBS["teacher"].digest,
    threads: JOBS["teacher"].threads
    resources:
        **NEEDS["teacher"],
    log:
        f"{LOGS}/teacher.log",
    conda:
        "../../environment.yml"
    message:
        "teacher"
    shell:
        "exec tadsr teacher {params.experiment:q} --expect {params.digest} > {log:q} 2>&1"
