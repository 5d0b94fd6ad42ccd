"""From reviewed cases to an evaluated model version: prepare, plan, train, evaluate."""
