# Students: one job per variant (or per cell), all from the same pools.
rule student:
    input:
        lambda wildcards: INPUTS[f"student/{wildcards.job}"],
    output:
        f"{RECEIPTS}/student/{{job}}.json",
    params:
        experiment=E,
        digest=lambda wildcards: JOBS[f"student/{wildcards.job}"].digest,
    priority: 10  # trainings before evaluations, so that none is left over at the end
    threads: lambda wildcards: JOBS[f"student/{wildcards.job}"].threads
    resources:
        **NEEDS["student"],
    log:
        f"{LOGS}/student/{{job}}.log",
    conda:
        "../../environment.yml"
    message:
        "student {wildcards.job}"
    shell:
        "exec tadsr student {params.experiment:q} {wildcards.job} --expect {params.digest} > {log:q} 2>&1"
