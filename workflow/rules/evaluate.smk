# Upscale every test set and measure: one job per student job, one for the baselines.
rule evaluate:
    input:
        lambda wildcards: INPUTS[f"evaluate/{wildcards.job}"],
    output:
        f"{RECEIPTS}/evaluate/{{job}}.json",
    params:
        experiment=E,
        digest=lambda wildcards: JOBS[f"evaluate/{wildcards.job}"].digest,
    threads: lambda wildcards: JOBS[f"evaluate/{wildcards.job}"].threads
    resources:
        **NEEDS["evaluate"],
    log:
        f"{LOGS}/evaluate/{{job}}.log",
    conda:
        "../../environment.yml"
    message:
        "evaluate {wildcards.job}"
    shell:
        "tadsr evaluate {params.experiment:q} {wildcards.job} --expect {params.digest} > {log:q} 2>&1"
