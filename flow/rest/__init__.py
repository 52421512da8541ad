"""The REST interface of a party: every route under /v1, described by OpenAPI."""
