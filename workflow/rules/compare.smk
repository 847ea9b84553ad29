# Statistics and verdicts, as plain data.
rule compare:
    input:
        INPUTS["compare"],
    output:
        RECEIPT["compare"],
    params:
        digest=JOBS["compare"].digest,
    threads: JOBS["compare"].threads
    resources:
        mem_mb=1000,
    log:
        f"{LOGS}/compare.log",
    conda:
        "../../environment.yml"
    message:
        "compare"
    shell:
        "tadsr compare {E:q} --expect {params.digest} > {log:q} 2>&1"
