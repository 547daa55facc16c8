"""Every call of the published Python client and worker against the server at the address given."""

import sys
import threading
import time
import uuid

import corvo_client
from corvo_client import CorvoClient
from corvo_client.client import ChainConfig, ChainStep, CorvoError, EnqueueOptions, PayloadTooLargeError
from corvo_worker import CorvoWorker, WorkerConfig

url = sys.argv[1]
client = CorvoClient(url)
seen = []


def queue(name):
    return f"{name}.{uuid.uuid4().hex[:8]}"


def check(name, condition, value=None):
    assert condition, f"{name}: {value!r}"
    if name not in seen:
        seen.append(name)
        print("ok", name, flush=True)


def wait(condition, seconds=20):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


info = client.get_server_info()
check("get_server_info", info["server_version"] and info["api_version"], info)

q = queue("simple")
made = client.enqueue(q, {"a": "Å"}, priority="high", max_retries=5, tags={"k": "v"}, unique_key="u", unique_period=60)
check("enqueue", made["status"] == "pending" and made["unique_existing"] is False, made)
again = client.enqueue(q, {}, unique_key="u")
check("enqueue", again["unique_existing"] and again["job_id"] == made["job_id"], again)
job = client.get_job(made["job_id"])
check("get_job", job["state"] == "pending" and job["priority"] == 1 and job["max_retries"] == 5, job)
check("get_job", job["payload"] == {"a": "Å"}, job)

chain = ChainConfig(steps=[ChainStep(queue=queue("c"), payload=None), ChainStep(queue=queue("c"), payload={"x": 1})])
options = EnqueueOptions(queue=chain.steps[0].queue, payload={}, chain=chain, expire_after="1h", retry_backoff="fixed",
                         retry_base_delay="1s", retry_max_delay="10s", scheduled_at="2020-01-01T00:00:00Z")
made_with = client.enqueue_with(options)
check("enqueue_with", made_with["status"] == "scheduled", made_with)
chain.on_failure = "stop"
check("enqueue_with", client.enqueue_with(options)["job_id"], None)
try:
    client.enqueue(q, "x" * 300_000)
    check("PayloadTooLargeError", False)
except PayloadTooLargeError:
    check("PayloadTooLargeError", True)

batch_q, callback_q = queue("batch"), queue("callback")
batch = client.enqueue_batch([{"queue": batch_q, "payload": n} for n in range(4)],
                             batch={"callback_queue": callback_q, "callback_payload": {"done": True}})
check("enqueue_batch", len(batch["job_ids"]) == 4 and batch["batch_id"], batch)
plain = client.enqueue_batch([{"queue": queue("plain"), "payload": {}}])
check("enqueue_batch", "batch_id" not in plain, plain)

check("fetch", client.fetch([queue("none")], "w", timeout=1) is None)
got = client.fetch([q], "w-1", timeout=5)
check("fetch", got["job_id"] == made["job_id"] and got["attempt"] == 1 and got["tags"] == {"k": "v"}, got)
beat = client.heartbeat({got["job_id"]: {"progress": {"current": 1, "total": 2, "message": "m"}, "checkpoint": {"c": 1}}})
check("heartbeat", beat["jobs"][got["job_id"]]["status"] == "ok", beat)
failed = client.fail(got["job_id"], "boom", "trace")
check("fail", failed["status"] == "retrying" and failed["attempts_remaining"] == 4, failed)
check("get_job", client.get_job(got["job_id"])["errors"][0]["error"] == "boom")
check("retry_job", isinstance(client.cancel_job(got["job_id"]), dict) and client.retry_job(got["job_id"])["status"] == "retried")
got = client.fetch([q], "w-1", timeout=5)
check("fetch", got["checkpoint"] == {"c": 1}, got)
check("ack", client.ack(got["job_id"], {"result": {"r": 1}})["status"] == "ok")
done = client.get_job(got["job_id"])
check("get_job", done["state"] == "completed" and done["result"] == {"r": 1}, done)
check("ack", client.ack(got["job_id"])["acked"] is False)

many = client.fetch_batch([batch_q], "w-1", timeout=5, count=10)
check("fetch_batch", len(many["jobs"]) == 4, many)
check("ack_batch", client.ack_batch([{"job_id": j["job_id"]} for j in many["jobs"]]) == {"acked": 4})
check("fetch_batch", client.fetch_batch([batch_q], "w-1", timeout=1)["jobs"] == [])
called = client.fetch([callback_q], "w", timeout=5)
check("enqueue_batch", called["payload"]["done"] is True and called["payload"]["batch"]["succeeded"] == 4, called)

found = client.search({"queue": q, "state": ["completed"]})
check("search", found["total"] == 1 and found["jobs"][0]["id"] == made["job_id"] and found["has_more"] is False, found)
check("search", client.search({"queue": queue("none")})["jobs"] == [])

other, moved = queue("ops"), queue("ops")
ids = [client.enqueue(other, {})["job_id"] for _ in range(3)]
check("move_job", client.move_job(ids[0], moved)["status"] == "moved")
check("cancel_job", client.cancel_job(ids[1])["status"] == "cancelled")
check("delete_job", client.delete_job(ids[2])["status"] == "deleted")
try:
    client.get_job(ids[2])
    check("get_job", False)
except CorvoError as error:
    check("CorvoError", "not found" in str(error), error)
check("bulk_get_jobs", [j["id"] for j in client.bulk_get_jobs([ids[0], "nobody", ids[1]])] == [ids[0], ids[1]])

for _ in range(5):
    client.enqueue(other, {})
check("bulk", client.bulk({"filter": {"queue": other, "state": ["pending"]}, "action": "cancel"})["affected"] == 5)
begun = client.bulk({"filter": {"queue": other}, "action": "retry", "async": True})
check("bulk", begun["status"] == "queued" and begun["bulk_operation_id"], begun)
check("bulk_status", wait(lambda: client.bulk_status(begun["bulk_operation_id"])["status"] == "completed"))
check("bulk_status", client.bulk_status(begun["bulk_operation_id"])["affected"] == 6)

events = []
sub_q = queue("events")


def listen():
    for event in CorvoClient(url).subscribe(queues=[sub_q], types=["enqueued", "started", "completed", "progress"]):
        events.append(event)


threading.Thread(target=listen, daemon=True).start()
event_job = client.enqueue(sub_q, {})["job_id"]
client.fetch([sub_q], "w", timeout=5)
client.heartbeat({event_job: {"progress": {"m": "Å\u2028Ω"}}})
client.ack(event_job)
check("subscribe", wait(lambda: len(events) >= 4), events)
check("subscribe", [e["type"] for e in events] == ["enqueued", "started", "progress", "completed"], events)
check("subscribe", events[2]["data"]["data"] == {"m": "Å\u2028Ω"} and int(events[0]["id"]) > 0, events)
resumed = next(iter(CorvoClient(url).subscribe(queues=[sub_q], last_event_id=int(events[0]["id"]))))
check("subscribe", resumed["id"] == events[1]["id"], resumed)

# The worker: handlers by queue, context, failures, a queue without handler, cancellation, its batch modes.
for batch_size in (1, 3):
    work_q, bad_q, unhandled_q = queue("work"), queue("bad"), queue("unhandled")
    handled, cancelled = [], threading.Event()
    worker = CorvoWorker(CorvoClient(url), WorkerConfig(
        queues=[work_q, bad_q, unhandled_q], worker_id=f"py-{batch_size}", concurrency=3,
        fetch_batch_size=batch_size, ack_batch_size=1, shutdown_timeout_s=5))

    def handle(job, context):
        context.progress(1, 2, "half")
        context.checkpoint({"at": job["payload"]})
        handled.append((job["job_id"], job["payload"], context.is_cancelled()))

    def explode(job, context):
        raise RuntimeError("no luck")

    worker.register(work_q, handle)
    worker.register(bad_q, explode)
    thread = threading.Thread(target=worker.start, daemon=True)
    thread.start()
    work = [client.enqueue(work_q, n)["job_id"] for n in range(6)]
    bad = client.enqueue(bad_q, {}, max_retries=1)["job_id"]
    unhandled = client.enqueue(unhandled_q, {})["job_id"]
    check("worker handler", wait(lambda: len(handled) == 6), handled)
    check("worker ack", wait(lambda: all(client.get_job(j)["state"] == "completed" for j in work)))
    check("worker context", client.get_job(work[3])["checkpoint"] == {"at": 3})
    check("worker context", client.get_job(work[3])["progress"] == {"current": 1, "total": 2, "message": "half"})
    check("worker fail", wait(lambda: client.get_job(bad)["state"] == "dead"))
    check("worker fail", client.get_job(bad)["errors"][0]["error"] == "no luck")
    check("worker unhandled queue", wait(lambda: client.get_job(unhandled)["state"] == "completed"))
    worker.stop()
    check("worker stop", True)

# A job that is cancelled under a worker: its ack comes late and must not wedge the thread.
slow_q = queue("slow")
release = threading.Event()
worker = CorvoWorker(CorvoClient(url), WorkerConfig(queues=[slow_q], worker_id="py-slow", concurrency=1, shutdown_timeout_s=5))
worker.register(slow_q, lambda job, context: release.wait(10))
threading.Thread(target=worker.start, daemon=True).start()
first = client.enqueue(slow_q, {})["job_id"]
wait(lambda: client.get_job(first)["state"] == "active")
check("cancel_job", client.cancel_job(first)["status"] == "cancelling")
release.set()
second = client.enqueue(slow_q, {})["job_id"]
check("worker goes on after a late ack", wait(lambda: client.get_job(second)["state"] == "completed"))
check("worker late ack", client.get_job(first)["state"] == "cancelled")
worker.stop()

workers = __import__("requests").get(url + "/api/v1/workers").json()
check("workers listed", any(w["id"] == "py-slow" for w in workers), workers)
print(len(seen), "kinds of calls work", flush=True)
