# Statistics and verdicts, as plain data.
rule compare:
    input:
        INPUTS["compare"],
    output:
        RECEIPT["compare"],
    params:
        experiment=E,
        digest=JOBS["compare"].digest,
    threads: JOBS["compare"].threads
    resources:
        **NEEDS["compare"],
    log:
        f"{LOGS}/compare.log",
    conda:
        "../../environment.yml"
    message:
        "compare"
    shell:
        "tadsr compare {params.experiment:q} --expect {params.digest} > {log:q} 2>&1"
