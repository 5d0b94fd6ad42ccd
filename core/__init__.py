"""All that knows medicine or models. Imports no web framework, and nothing of app or pages."""
