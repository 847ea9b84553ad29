# Images on disk and their manifests.
rule data:
    input:
        INPUTS["data"],
    output:
        RECEIPT["data"],
    params:
        experiment=E,
        digest=JOBS["data"].digest,
    threads: JOBS["data"].threads
    resources:
        **NEEDS["data"],
    log:
        f"{LOGS}/data.log",
    conda:
        "../../environment.yml"
    message:
        "data"
    shell:
        "tadsr data {params.experiment:q} --expect {params.digest} > {log:q} 2>&1"
