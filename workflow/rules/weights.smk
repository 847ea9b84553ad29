# What metric weights are there (fetched before the DAG; nothing is downloaded here).
rule weights:
    input:
        INPUTS["weights"],
    output:
        RECEIPT["weights"],
    params:
        experiment=E,
        digest=JOBS["weights"].digest,
    threads: JOBS["weights"].threads
    resources:
        **NEEDS["weights"],
    log:
        f"{LOGS}/weights.log",
    conda:
        "../../environment.yml"
    message:
        "weights"
    shell:
        "tadsr weights check {params.experiment:q} --expect {params.digest} > {log:q} 2>&1"
