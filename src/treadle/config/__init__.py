"""What may stand in a run's config: schema, the notations it is written in, validation.

Import the modules: `schema` (data), `sugar` (what users write), `validate` with the sentences of `mistakes`,
`pythonic` (pydantic classes), `jsonschema`.
"""
