# One experiment, from its file to its report. A table of contents: each stage has its rule file,
# each rule one `tadsr` command. `tadsr run` calls this with the right flags; plain
# `snakemake --config experiment=ablations/demo.yaml --cores 2` works too.
from tadsr.plan import Plan
from tadsr.plan.resources import rule_resources
from tadsr.signals import pass_on_to_children

pass_on_to_children()  # this process may be a job of SLURM

PLAN = Plan.load(config.get("experiment", "ablations/demo.yaml"))
E = PLAN.argument
JOBS = PLAN.jobs
RECEIPT = {job: str(PLAN.output(job)) for job in JOBS}
NEEDS = {stage: rule_resources(needs) for stage, needs in PLAN.resources.items()}
NEEDS.setdefault("sweep", {})  # the one stage that an experiment need not have
INPUTS = {job.id: [RECEIPT[name] for name in job.inputs] for job in JOBS.values()}
RECEIPTS = f"{PLAN.root}/jobs"
LOGS = f"{PLAN.root}/logs"


report: "reports/captions/workflow.rst"


wildcard_constraints:
    job="[a-z0-9_-]+",


# Quick, or in need of a network that machines of a cluster often lack.
localrules:
    all,
    weights,
    publish,


rule all:
    input:
        RECEIPT["publish"],
    message:
        "everything is done"


include: "workflow/rules/data.smk"
include: "workflow/rules/weights.smk"
include: "workflow/rules/teacher.smk"
include: "workflow/rules/targets.smk"
include: "workflow/rules/sweep.smk"
include: "workflow/rules/student.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/publish.smk"


# A failed job leaves holes: compare and report show what there is, marked, without receipts.
onerror:
    shell("tadsr report {E:q} --partial > {LOGS:q}/report.partial.log 2>&1 || true")
