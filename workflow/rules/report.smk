# Tables, figures and the page.
rule report:
    input:
        INPUTS["report"],
    output:
        RECEIPT["report"],
    params:
        experiment=E,
        digest=JOBS["report"].digest,
    threads: JOBS["report"].threads
    resources:
        **NEEDS["report"],
    log:
        f"{LOGS}/report.log",
    conda:
        "../../environment.yml"
    message:
        "report"
    shell:
        "tadsr report {params.experiment:q} --expect {params.digest} > {log:q} 2>&1"
