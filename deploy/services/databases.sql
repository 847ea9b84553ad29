-- One database each: both make their own tables, and MLflow's migrations must not meet Optuna's.
CREATE DATABASE mlflow;
CREATE DATABASE optuna;
CREATE DATABASE mlflow_auth;
