# Everything above, as MLflow shows it.
rule publish:
    input:
        INPUTS["publish"],
    output:
        RECEIPT["publish"],
    params:
        digest=JOBS["publish"].digest,
    threads: JOBS["publish"].threads
    resources:
        mem_mb=1500,
    log:
        f"{LOGS}/publish.log",
    conda:
        "../../environment.yml"
    message:
        "publish"
    shell:
        "tadsr publish {E:q} --expect {params.digest} > {log:q} 2>&1"
