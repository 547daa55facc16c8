"""The published Python client and worker over gRPC, against the server at the address given."""

import json
import pathlib
import re
import sys
import threading
import time
import uuid
from collections import Counter

import grpc
from corvo_client import CorvoClient
from corvo_client.gen.corvo.v1 import worker_pb2, worker_pb2_grpc
from corvo_worker import CorvoWorker, WorkerConfig
from corvo_worker.rpc import LifecycleRequest, ResilientLifecycleStream, RpcClient

url = sys.argv[1]
http = CorvoClient(url)
client = CorvoClient(url, use_rpc=True)
stub = worker_pb2_grpc.WorkerServiceStub(grpc.insecure_channel(url.removeprefix("http://")))


def queue(name):
    return f"{name}.{uuid.uuid4().hex[:8]}"


def check(name, condition, value=None):
    assert condition, f"{name}: {value!r}"
    print("ok", name, flush=True)


def wait(condition, seconds=30):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def refused(call, code):
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, error
        return True
    return False


invalid = grpc.StatusCode.INVALID_ARGUMENT

# The messages that they were made from.
text = pathlib.Path(__file__).parent.parent.joinpath("worker_service.proto").read_text()
ours = {name: {field: (int(number), kind.split(".")[-1]) for kind, field, number in
               re.findall(r"^  (?:repeated )?(\S+|map<string, \w+>) (\w+) = (\d+);$", body, re.M)}
        for name, body in re.findall(r"^message (\w+) {\n(.*?)^}", text, re.S | re.M)}
scalars = {1: "double", 3: "int64", 4: "uint64", 5: "int32", 8: "bool", 9: "string"}
for name, message in worker_pb2.DESCRIPTOR.message_types_by_name.items():
    for field in message.fields:
        kind = scalars.get(field.type) or field.message_type.name
        if field.message_type and field.message_type.GetOptions().map_entry:
            kind = f"map<string, {field.message_type.fields_by_name['value'].message_type.name}>"
        assert ours[name][field.name] == (field.number, kind), (name, field.name, kind, ours[name].get(field.name))
check("messages", len(worker_pb2.DESCRIPTOR.message_types_by_name) > 20)

# The client.
q = queue("simple")
made = client.enqueue(q, {"a": "Å"})
check("enqueue", made["job_id"] and made["status"] == "pending" and made["unique_existing"] is False, made)
got = stub.Fetch(worker_pb2.FetchRequest(queues=[queue("none"), q], worker_id="w", hostname="h", lease_duration=20))
check("Fetch", got.found and got.job_id == made["job_id"] and json.loads(got.payload_json) == {"a": "Å"}, got)
check("Fetch", (got.attempt, got.max_retries, got.lease_duration) == (1, 3, 20), got)
beat = client.heartbeat({got.job_id: {"progress": {"n": 1}, "checkpoint": {"c": 1}}, "job_nobody": {}})
check("heartbeat", {k: v["status"] for k, v in beat["jobs"].items()} == {got.job_id: "ok", "job_nobody": "cancel"}, beat)
check("fail", client.fail(got.job_id, "boom", "trace")["status"] == "retrying")
check("fail", refused(lambda: client.fail(got.job_id, "late"), invalid))
http.cancel_job(got.job_id), http.retry_job(got.job_id)
got = stub.FetchBatch(worker_pb2.FetchBatchRequest(queues=[q], worker_id="w", count=5)).jobs[0]
check("FetchBatch", json.loads(got.checkpoint_json) == {"c": 1}, got)
stub.Ack(worker_pb2.AckRequest(job_id=got.job_id, result_json='{"r": 2}'))
check("Ack", http.get_job(got.job_id)["state"] == "completed" and http.get_job(got.job_id)["result"] == {"r": 2})
check("Ack", refused(lambda: stub.Ack(worker_pb2.AckRequest(job_id=got.job_id)), invalid))
check("Fetch", not stub.Fetch(worker_pb2.FetchRequest(queues=[q], lease_duration=1)).found)
ids = [client.enqueue(q, n)["job_id"] for n in range(3)]
jobs = stub.FetchBatch(worker_pb2.FetchBatchRequest(queues=[q], count=10)).jobs
items = [worker_pb2.AckBatchItem(job_id=job.job_id) for job in jobs] + [worker_pb2.AckBatchItem(job_id="job_nobody")]
check("AckBatch", len(jobs) == 3 and stub.AckBatch(worker_pb2.AckBatchRequest(items=items)).acked == 3)
check("Enqueue", refused(lambda: client.enqueue("", {}), invalid))
check("Enqueue", refused(lambda: client.enqueue(q, "x" * 300_000), invalid))

# A stream by hand.
q = queue("stream")
stream = ResilientLifecycleStream(url)
begun = time.time()
empty = stream.exchange(LifecycleRequest(request_id=7, queues=[q], worker_id="s", fetch_count=1))
check("stream idle", empty.request_id == 7 and not empty.jobs and 0.09 < time.time() - begun < 1, time.time() - begun)
enqueues = [{"queue": q, "payload_json": json.dumps({"n": n})} for n in range(3)]
made = stream.exchange(LifecycleRequest(request_id=8, queues=[q], worker_id="s", fetch_count=1, enqueues=enqueues))
check("stream enqueue", len(made.enqueued_job_ids) == 3 and not made.jobs and not made.error, made)
got = stream.exchange(LifecycleRequest(request_id=9, queues=[q], worker_id="s", fetch_count=2))
check("stream fetch", [j.job_id for j in got.jobs] == list(made.enqueued_job_ids[:2]), got)
acks = [{"job_id": j.job_id, "result_json": "{}"} for j in got.jobs] + [{"job_id": "job_nobody"}]
done = stream.exchange(LifecycleRequest(request_id=10, queues=[q], worker_id="s", fetch_count=5, acks=acks))
check("stream ack", done.acked == 2 and len(done.jobs) == 1 and done.error.startswith("ack: "), done)
stream.close()

# A worker: 200 jobs, some of which fail once, each done exactly once.
good_q, flaky_q = queue("good"), queue("flaky")
expected = {good_q: set(), flaky_q: set()}
for n in range(200):
    name = flaky_q if n % 5 == 0 else good_q
    job = http.enqueue(name, n, max_retries=3, retry_backoff="fixed", retry_base_delay="100ms")
    expected[name].add(job["job_id"])
done, mutex = Counter(), threading.Lock()
worker = CorvoWorker(client, WorkerConfig(queues=[good_q, flaky_q], worker_id="py-rpc", concurrency=10, use_rpc=True,
                                          shutdown_timeout_s=5))


def finish(job):
    with mutex:
        done[job["job_id"]] += 1


def handle(job, context):
    context.progress(1, 2, "half")
    finish(job)


def flaky(job, context):
    if job["attempt"] == 1:
        raise RuntimeError("not yet")
    finish(job)


worker.register(good_q, handle)
worker.register(flaky_q, flaky)
thread = threading.Thread(target=worker.start, daemon=True)
begun = time.time()
thread.start()
everything = expected[good_q] | expected[flaky_q]
check("worker did everything", wait(lambda: len(done) == 200, 60), len(done))
check("worker did it once", set(done) == everything and set(done.values()) == {1}, done.most_common(3))
check("worker acked", wait(lambda: http.search({"queue": good_q, "state": ["completed"]})["total"] == 160))
check("worker acked", wait(lambda: http.search({"queue": flaky_q, "state": ["completed"]})["total"] == 40))
attempts = {job["attempt"] for job in http.bulk_get_jobs(list(expected[flaky_q]))}
check("worker failures", attempts == {2}, attempts)
late = [http.enqueue(good_q, n)["job_id"] for n in range(5)]
check("worker goes on", wait(lambda: all(http.get_job(job)["state"] == "completed" for job in late)))
worker.stop()
thread.join(10)
check("worker stop", not thread.is_alive(), f"{time.time() - begun:.1f} s")
