"""Asking about what a party agrees to: its policy, and what its tables and models may be used for."""

from __future__ import annotations

from collections.abc import Mapping

from flow.rest_client.http import HttpCalls
from flow.rest_client.paths import output_path, table_path
from flow.views.jobs import PolicyView
from storage.facts import UsePolicy


class PolicyCalls(HttpCalls):
    """The policies of a party."""

    def policy(self) -> PolicyView:
        """What the party agrees to."""
        return self._ask(PolicyView, "GET", "/party/policy")

    def change_policy(self, values: Mapping[str, object]) -> PolicyView:
        """Give keys of it other values, taken up at once."""
        return self._ask(PolicyView, "PUT", "/party/policy", json={"values": values})

    def table_policy(self, table: str) -> UsePolicy:
        """What a table may be used for."""
        return self._ask(UsePolicy, "GET", f"{table_path(table)}/policy")

    def set_table_policy(self, table: str, policy: UsePolicy | None) -> UsePolicy:
        """Set it for every version of a table, or take it back."""
        return self._set(f"{table_path(table)}/policy", policy)

    def model_policy(self, model: str) -> UsePolicy:
        """What a model may be used for; `peers` are granted it beside the parties that hold a part of it."""
        return self._ask(UsePolicy, "GET", f"{output_path('models', model)}/policy")

    def set_model_policy(self, model: str, policy: UsePolicy | None) -> UsePolicy:
        """Set it, or take it back."""
        return self._set(f"{output_path('models', model)}/policy", policy)

    def _set(self, path: str, policy: UsePolicy | None) -> UsePolicy:
        if policy is None:
            return self._ask(UsePolicy, "DELETE", path)
        return self._ask(UsePolicy, "PUT", path, json=policy.model_dump(mode="json"))
