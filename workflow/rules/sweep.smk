# Hyper-parameter searches: one job begins each, its workers share the trials, one concludes.
rule sweep:
    input:
        lambda wildcards: INPUTS[f"sweep/{wildcards.job}"],
    output:
        f"{RECEIPTS}/sweep/{{job}}.json",
    params:
        experiment=E,
        digest=lambda wildcards: JOBS[f"sweep/{wildcards.job}"].digest,
    priority: 20  # before the grid, so that winners are not trained last
    threads: lambda wildcards: JOBS[f"sweep/{wildcards.job}"].threads
    resources:
        **NEEDS["sweep"],
    log:
        f"{LOGS}/sweep/{{job}}.log",
    conda:
        "../../environment.yml"
    message:
        "sweep {wildcards.job}"
    shell:
        "exec tadsr sweep {params.experiment:q} {wildcards.job} --expect {params.digest} > {log:q} 2>&1"
