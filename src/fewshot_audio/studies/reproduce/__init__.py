"""The paper's matrix of scenarios and datasets, run and put beside the published figures."""
