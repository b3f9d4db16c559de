"""What each read model shows after what happened."""

from contracts.events.alert import (
    AlertDelivered,
    AlertDeliveryFailed,
    AlertResolved,
    WebhookRegistered,
)
from contracts.events.control import LeaseAcquired, NameClaimed, NameReleased
from contracts.events.instance import (
    InstanceDied,
    InstanceStartAsked,
    InstanceStarted,
    InstanceStartFailed,
    InstanceStartRefused,
    InstanceStopAsked,
    InstanceStopped,
    InstanceStopRequested,
)
from contracts.events.model import ModelUpdated
from contracts.events.node import NodeHeartbeat
from contracts.events.strategy import (
    StrategyActivated,
    StrategyConfigured,
    StrategyCreated,
    StrategyDeleted,
)
from contracts.types import SecretRef
from tests import fleet
from tests.recorded import recorded
from tests.unit.projector.tables import projected

AT_2 = "2026-05-04T12:00:02.000000Z"


async def after(*said):
    return await projected(recorded(said))


async def test_a_model_shows_its_queue_but_no_reference_to_its_password():
    row = (await after(fleet.a_model())).row("models", "llama")
    assert row["queue"] == {
        "host": "rabbit.test",
        "port": 15672,
        "amqp_port": 5672,
        "vhost": "/",
        "name": "q-llama",
        "username": "sampler",
        "has_password": True,
    }
    assert "secret" not in str(row)


async def test_an_updated_model_keeps_its_birth_and_its_unmet_floor():
    story = (fleet.a_model(), fleet.floor_unmet(), fleet.a_model(kind=ModelUpdated, name="New"))
    row = (await after(*story)).row("models", "llama")
    assert (row["name"], row["version"]) == ("New", 2)
    assert row["created_at"] < row["updated_at"]
    assert row["floor_unmet"]["since"] == AT_2


async def test_a_met_floor_ends_what_was_unmet_and_deferred():
    story = (fleet.a_model(), fleet.floor_unmet(), fleet.deferred())
    row = (await after(*story)).row("models", "llama")
    assert row["deferred"]["reason"]["code"] == "queue_is_busy"
    row = (await after(*story, fleet.floor_met())).row("models", "llama")
    assert (row["floor_unmet"], row["deferred"]) == (None, None)


async def test_a_start_ends_what_was_deferred():
    tables = await after(fleet.a_model(), fleet.deferred(), fleet.start_requested("i-1"))
    assert tables.row("models", "llama")["deferred"] is None


async def test_a_node_is_offline_until_it_answers():
    tables = await after(fleet.a_node())
    assert tables.row("nodes", "n1")["status"] == "offline"
    tables = await after(fleet.a_node(), fleet.came_online(), fleet.inventory())
    row = tables.row("nodes", "n1")
    assert (row["status"], row["boot_id"], row["last_seen_at"]) == ("online", "b1", AT_2)
    assert [gpu["uuid"] for gpu in row["gpus"]] == ["GPU-n1-0", "GPU-n1-1"]


async def test_a_silent_node_says_why_and_when_it_was_last_seen():
    tables = await after(fleet.a_node(), fleet.came_online(), fleet.went_offline())
    row = tables.row("nodes", "n1")
    assert (row["status"], row["last_error"]) == ("offline", "timed out")
    assert row["last_seen_at"] == AT_2


async def test_reports_are_kept_newest_only_and_without_versions():
    tables = await after(
        fleet.reported(percent=10),
        fleet.reported(percent=20),
        ("node-reports/n1", NodeHeartbeat(node_id="n1")),
    )
    row = tables.row("node_reports", "n1")
    assert row["gpus"]["GPU-n1-0"]["utilization_percent"] == 20
    assert row["heartbeat_at"] == row["last_seen_at"] > row["reported_at"]
    assert tables.were["node_reports"] == []


async def test_a_gpu_is_held_from_its_allocation_until_it_is_freed():
    story = [fleet.inventory(), fleet.allocated("GPU-n1-0", "i-1")]
    row = (await after(*story)).row("gpus", "GPU-n1-0")
    assert (row["instance_id"], row["model_id"], row["index"]) == ("i-1", "llama", 0)
    row = (await after(*story, fleet.freed("GPU-n1-0", "i-1"))).row("gpus", "GPU-n1-0")
    assert (row["instance_id"], row["model_id"]) == (None, None)


async def test_an_unchanged_inventory_writes_no_new_version_of_a_gpu():
    tables = await after(fleet.inventory(), fleet.inventory(agent_version="2"))
    assert tables.were["gpus"] == []


async def test_a_quarantine_ends_only_with_its_release():
    gpu = "GPU-n1-0"
    story = [fleet.allocated(gpu, "i-1"), fleet.quarantined(gpu), fleet.freed(gpu, "i-1")]
    assert (await after(*story)).row("gpus", gpu)["quarantine"]["because"] == "foreign process"
    assert (await after(*story, fleet.released(gpu))).row("gpus", gpu)["quarantine"] is None


async def test_an_instance_goes_from_requested_to_ready_to_stopping_to_stopped():
    story = [fleet.start_requested("i-1")]
    seen = []
    for said in (
        fleet.of_instance(InstanceStarted, "i-1"),
        ("instance/i-1", InstanceStopAsked(instance_id="i-1", node_id="n1")),
        fleet.of_instance(InstanceStopRequested, "i-1", replaced_by="qwen"),
        fleet.of_instance(InstanceStopped, "i-1"),
    ):
        seen.append((await after(*story)).row("instances", "i-1")["state"])
        story.append(said)
    row = (await after(*story)).row("instances", "i-1")
    assert [*seen, row["state"]] == ["requested", "ready", "ready", "stopping", "stopped"]
    assert (row["pid"], row["load_s"], row["replaced_by"]) == (4711, 12.5, "qwen")
    assert row["requested_at"] < row["started_at"] < row["stop_asked_at"] < row["ended_at"]


async def test_a_started_instance_that_is_to_stop_goes_on_stopping():
    tables = await after(
        fleet.start_requested("i-1"),
        fleet.of_instance(InstanceStopRequested, "i-1"),
        fleet.of_instance(InstanceStarted, "i-1"),
    )
    assert tables.row("instances", "i-1")["state"] == "stopping"


async def test_a_failed_and_a_dead_instance_say_why():
    tables = await after(
        fleet.of_instance(InstanceStartFailed, "i-1"), fleet.of_instance(InstanceDied, "i-2")
    )
    failed, died = tables.row("instances", "i-1"), tables.row("instances", "i-2")
    assert (failed["state"], failed["error"]) == ("failed", "no_memory: out of memory")
    assert (died["state"], died["error"], died["exit_code"]) == ("died", "exited", 137)


async def test_a_queue_is_unreachable_since_the_first_time_until_it_recovers():
    story = (fleet.sampled(), fleet.unreachable(), fleet.unreachable())
    row = (await after(*story)).row("queues", "llama")
    assert (row["reachable"], row["error"]["code"], row["since"]) == (False, "unauthorized", AT_2)
    row = (await after(*story, fleet.recovered())).row("queues", "llama")
    assert (row["reachable"], row["error"]) == (True, None)


async def test_every_decision_is_kept_with_its_reason():
    tables = await after(
        fleet.floor_unmet(),
        fleet.deferred(),
        fleet.start_requested("i-1"),
        fleet.of_instance(InstanceStopRequested, "i-1"),
        fleet.of_instance(InstanceStopped, "i-1"),
    )
    assert [position for _, position, _ in tables.entries["decisions"]] == [1, 2, 3, 4]


async def test_a_strategy_is_created_changed_switched_and_gone():
    stream = "strategy/s1"
    created = StrategyCreated(strategy_id="s1", name="Busy", policy="busy_queue_scaling")
    configured = StrategyConfigured(strategy_id="s1", parameters={"busy_after_s": 9}, order=2)
    story = [
        (stream, created),
        (stream, configured),
        (stream, StrategyActivated(strategy_id="s1")),
    ]
    row = (await after(*story)).row("strategies", "s1")
    assert (row["active"], row["order"], row["version"]) == (True, 2, 3)
    assert row["parameters"] == {"busy_after_s": 9}
    gone = (stream, StrategyDeleted(strategy_id="s1"))
    assert (await after(*story, gone)).row("strategies", "s1") is None


async def test_an_alert_is_open_until_resolved_and_shows_whom_it_reached():
    alert, stream = "node_offline:n1", "alert/node_offline:n1"
    about = {"message_id": "m1", "alert_id": alert, "webhook_id": "w1"}
    secret = SecretRef(secret_id="s-9", version=1)
    hook = WebhookRegistered(webhook_id="w1", url="https://hook.test", secret=secret)
    failed = AlertDeliveryFailed(**about, attempt=1, error="timed out", gives_up=False)
    story = [("webhook/w1", hook), fleet.raised(alert), (stream, failed)]
    row = (await after(*story)).row("alerts", alert)
    assert (row["open"], row["deliveries"]["w1"]["state"]) == (True, "failing")
    story.append((stream, AlertDelivered(**about, attempt=2, status_code=204)))
    resolved = AlertResolved(alert_id=alert, rule="node_offline", subject="n1")
    tables = await after(*story, (stream, resolved))
    row, webhook = tables.row("alerts", alert), tables.row("webhooks", "w1")
    assert (row["open"], row["deliveries"]["w1"]["state"]) == (False, "delivered")
    assert (webhook["has_secret"], webhook["last_error"]) == (True, None)
    assert "s-9" not in str(webhook)


async def test_an_alert_raised_again_is_open_again():
    resolved = AlertResolved(alert_id="a1", rule="node_offline", subject="n1")
    tables = await after(fleet.raised("a1"), ("alert/a1", resolved), fleet.raised("a1"))
    row = tables.row("alerts", "a1")
    assert (row["open"], row["raised_times"], row["resolved_at"]) == (True, 2, None)


async def test_a_released_name_stays_with_the_version_to_claim_it_again_at():
    stream = "name/model/Llama 3/8b"
    claimed = NameClaimed(kind="model", name="Llama 3/8b", owner="llama")
    released = NameReleased(kind="model", name="Llama 3/8b")
    row = (await after((stream, claimed))).row("names", "model/Llama 3/8b")
    assert (row["owner"], row["claimed"], row["version"]) == ("llama", True, 1)
    row = (await after((stream, claimed), (stream, released))).row("names", "model/Llama 3/8b")
    assert (row["owner"], row["claimed"], row["version"]) == (None, False, 2)


async def test_an_ask_is_answered_by_an_instance_or_a_reason():
    def asked(ask):
        return f"ask/{ask}", InstanceStartAsked(ask_id=ask, model_id="llama", node_id="n1")

    refused = InstanceStartRefused(ask_id="ask-2", model_id="llama", reason=fleet.REASON)
    tables = await after(
        asked("ask-1"),
        asked("ask-2"),
        fleet.start_requested("i-1", ask_id="ask-1"),
        ("ask/ask-2", refused),
        fleet.start_requested("i-2"),
    )
    placed, no = tables.row("asks", "ask-1"), tables.row("asks", "ask-2")
    assert (placed["state"], placed["instance_id"], placed["actor"]) == ("placed", "i-1", "ada")
    assert (no["state"], no["reason"]["code"]) == ("refused", "queue_is_busy")


async def test_the_newest_epoch_leads():
    said = [
        ("lease/scheduler", LeaseAcquired(name="scheduler", epoch=epoch, holder=f"p{epoch}"))
        for epoch in (1, 2)
    ]
    row = (await after(*said)).row("leases", "scheduler")
    assert (row["epoch"], row["holder"], row["acquired_position"]) == (2, "p2", 2)
