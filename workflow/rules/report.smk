# Tables, figures and the page; `snakemake --report` shows them with the captions of reports/captions.
rule report:
    input:
        INPUTS["report"],
    output:
        page=report(
            RECEIPT["report"],
            caption="../../reports/captions/page.rst",
            category="Summary",
            labels={"what": "report page"},
        ),
        figures=report(
            directory(f"{PLAN.root}/report/figures"),
            patterns=["{figure}.png"],
            caption="../../reports/captions/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        tables=report(
            directory(f"{PLAN.root}/report/tables"),
            patterns=["{table}.csv"],
            caption="../../reports/captions/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
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
