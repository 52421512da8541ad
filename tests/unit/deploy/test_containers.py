import pytest

from deploy.containers import containers, with_limits
from party.settings import PartySettings


def settings(**sections):
    return PartySettings.model_validate(
        {
            "schema": 1,
            "party": "hospital-a",
            "gateway": {"listen": "[::1]:1"},
            "flow": {"listen": "127.0.0.1:2"},
            "board": {"listen": "0.0.0.0:3"},
            **sections,
        }
    )


def by_name(given):
    return {container.name: container for container in containers(with_limits(given))}


def test_a_store_elsewhere_gives_executors_a_network():
    assert by_name(settings())["node-manager"].networks == ()
    assert by_name(settings(store={"uri": "s3://bucket/a"}))["node-manager"].networks == ("outward",)


def test_nodes_on_other_hosts_give_the_cluster_manager_a_network():
    assert by_name(settings())["cluster-manager"].networks == ()
    assert by_name(settings(cluster={"nodes": ["host-2:7000"]}))["cluster-manager"].networks == ("outward",)


def test_ports_are_published_where_the_settings_listen():
    found = by_name(settings())
    assert found["gateway"].ports == ("[::1]:1:1",)
    assert found["flow"].ports == ("127.0.0.1:2:2",)
    assert found["board"].ports == ("0.0.0.0:3:3",)


@pytest.mark.parametrize(("gpus", "asked"), [("auto", 0), (0, 0), (2, 2)])
def test_gpus_are_asked_for_by_number_only(gpus, asked):
    assert by_name(settings(node={"gpus": gpus}))["node-manager"].gpus == asked


def test_the_node_leaves_some_of_the_hosts_memory_to_others():
    limited = with_limits(settings()).node
    assert limited.memory.endswith("MiB")
    assert by_name(settings())["node-manager"].memory_mib > limited.memory_bytes // 2**20
