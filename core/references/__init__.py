"""Reference groups: people by age and sex, and where a person's volumes stand among them."""
