"""Whether two MLflow databases show the same of an experiment; a helper of `publish_scale.py`.

python -m benchmarks.publish_scale_shown ONE.db OTHER.db EXPERIMENT
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient

from tests.publish.shown import shown


def main() -> int:
    """Exit code 1 where they differ, or where a run lies in the trash."""
    *databases, name = sys.argv[1:]
    states = []
    for database in databases:
        client = MlflowClient(f"sqlite:///{database}")
        number = client.get_experiment_by_name(name).experiment_id
        trash = client.search_runs([number], "", ViewType.DELETED_ONLY, max_results=1000)
        with tempfile.TemporaryDirectory() as scratch:
            states.append(shown(client, name, Path(scratch)))
        runs = len(states[-1]) - 2  # the experiment's tags, and the models
        print(f"{Path(database).name}: {runs} runs, {len(states[-1]['models'])} models, "
              f"{len(trash)} runs in the trash")  # fmt: skip
    one, other = states
    differing = [key for key in {*one, *other} if one.get(key) != other.get(key)]
    print(f"different: {differing or 'nothing'}")
    return int(bool(differing))


if __name__ == "__main__":
    sys.exit(main())
