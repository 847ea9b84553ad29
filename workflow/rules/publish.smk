# Everything above, as MLflow shows it.
rule publish:
    input:
        INPUTS["publish"],
    output:
        RECEIPT["publish"],
    params:
        experiment=E,
        digest=JOBS["publish"].digest,
    threads: JOBS["publish"].threads
    resources:
        **NEEDS["publish"],
    log:
        f"{LOGS}/publish.log",
    conda:
        "../../environment.yml"
    message:
        "publish"
    shell:
        "tadsr publish {params.experiment:q} --expect {params.digest} > {log:q} 2>&1"
