# The teacher's answers, stored once per pool.
rule targets:
    input:
        lambda wildcards: INPUTS[f"targets/{wildcards.job}"],
    output:
        f"{RECEIPTS}/targets/{{job}}.json",
    params:
        experiment=E,
        digest=lambda wildcards: JOBS[f"targets/{wildcards.job}"].digest,
    threads: lambda wildcards: JOBS[f"targets/{wildcards.job}"].threads
    resources:
        **NEEDS["targets"],
    log:
        f"{LOGS}/targets/{{job}}.log",
    conda:
        "../../environment.yml"
    message:
        "targets {wildcards.job}"
    shell:
        "tadsr targets {params.experiment:q} {wildcards.job} --expect {params.digest} > {log:q} 2>&1"
