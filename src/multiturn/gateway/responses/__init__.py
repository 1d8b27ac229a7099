"""The Responses API: create, follow, fetch, tell again."""
