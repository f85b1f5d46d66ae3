"""Networks as graphs, graphs as plans: export, builders, recipes, manifests and the plan cache."""
