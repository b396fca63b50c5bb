"""A client that is not ours: plain grpcio, everything it knows comes from the server's reflection.

    python client_test.py --server ADDRESS --model FILE [--timeout SECONDS]

Submits FILE, watches the job in two halves (the second resumes by event number), reads tree, steps and
coverage, downloads the bundle and checks every digest; asks wrong questions and reads the error details.
Exits 0 and prints PASS if all of it is as the proto files say.
"""

import argparse
import hashlib
import pathlib
import sys
import uuid

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


class Api:
    """The service strata.v1.Strata, built from reflection."""

    def __init__(self, channel):
        self.channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)
        self.service = self.pool.FindServiceByName("strata.v1.Strata")

    def message(self, name, **fields):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))(**fields)

    def make(self, name, **fields):
        return self.message("strata.v1." + name, **fields)

    def enum(self, enum, value):
        return self.pool.FindEnumTypeByName("strata.v1." + enum).values_by_name[value].number

    def call(self, name, request, timeout=30):
        method = self.service.FindMethodByName(name)
        answer = message_factory.GetMessageClass(method.output_type)
        kind = {
            (False, False): self.channel.unary_unary,
            (False, True): self.channel.unary_stream,
            (True, False): self.channel.stream_unary,
        }[(method.client_streaming, method.server_streaming)]
        stub = kind(
            f"/{self.service.full_name}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return stub(request, timeout=timeout)


def upload(api, content):
    digest = hashlib.sha256(content).hexdigest()
    known = api.call("StartUpload", api.make("StartUploadRequest", digest=digest, size_bytes=len(content)))
    if not known.complete:
        offset = known.committed_bytes
        chunks = [
            api.make("UploadChunk", digest=digest, offset=at, data=content[at : at + 65536])
            for at in range(offset, max(len(content), offset + 1), 65536)
        ]
        assert api.call("UploadChunks", iter(chunks)).complete
    return digest


def submit(api, path):
    content = path.read_bytes()
    digest = upload(api, content)
    request = api.make("CreateDecompositionRequest", request_id=str(uuid.uuid4()))
    request.source.files.add(path=path.name, digest=digest, size_bytes=len(content))
    request.source.entry = path.name
    request.labels["client"] = "python"
    job = api.call("CreateDecomposition", request)
    again = api.call("CreateDecomposition", request)
    assert again.id == job.id, "the same request id made a second decomposition"
    return job


def watch(api, job_id, timeout):
    """Events in order; breaks the stream after the first few and resumes."""
    request = api.make("WatchDecompositionRequest", decomposition_id=job_id)
    events = []
    stream = api.call("WatchDecomposition", request, timeout)
    for event in stream:
        events.append(event)
        if len(events) == 3:
            stream.cancel()
            break
    request.after_event = events[-1].number
    events.extend(api.call("WatchDecomposition", request, timeout))
    numbers = [event.number for event in events]
    assert numbers == sorted(set(numbers)), f"event numbers do not rise: {numbers}"
    return events


def download(api, job_id):
    files, announced = {}, None
    for chunk in api.call("DownloadBundle", api.make("DownloadBundleRequest", decomposition_id=job_id), 120):
        kind = chunk.WhichOneof("kind")
        if kind == "start":
            announced = chunk.start
        elif kind == "file":
            current = chunk.file
            files[current.path] = (current, bytearray())
        else:
            files[current.path][1].extend(chunk.data)
    assert announced.file_count == len(files), (announced.file_count, len(files))
    for path, (file, data) in files.items():
        assert len(data) == file.size_bytes, path
        assert hashlib.sha256(data).hexdigest() == file.digest, path
    return {path: bytes(data) for path, (_, data) in files.items()}


def check_results(api, job_id):
    tree = api.call("GetTree", api.make("GetTreeRequest", decomposition_id=job_id))
    ids = {node.id for node in tree.nodes}
    assert tree.root in ids and all(child in ids for node in tree.nodes for child in node.children)
    steps = api.call("ListSteps", api.make("ListStepsRequest", decomposition_id=job_id)).steps
    assert steps and all(step.status == "PASS" for step in steps), steps
    coverage = api.call("GetCoverage", api.make("GetCoverageRequest", decomposition_id=job_id))
    assert coverage.coverage_pct == 100 and not coverage.missing_op_types and not coverage.extra_op_types
    return tree, steps


def check_bundle(bundle, steps, model):
    assert bundle[f"source/{model.name}"] == model.read_bytes()
    for path in ["decomposition_tree.json", "decomposition_log.json", "verification/composition_test.py"]:
        assert path in bundle, path
    for step in steps:
        for name in ["original.py", "refactored.py", "verification_result.json"]:
            assert f"steps/{step.name}/{name}" in bundle, (step.name, name)


def refused(api, name, request, code):
    """The error's google.rpc.ErrorInfo reason."""
    try:
        answer = api.call(name, request)
        if not hasattr(answer, "id"):
            list(answer)
    except grpc.RpcError as error:
        assert error.code() == code, (name, error.code(), error.details())
        details = dict(error.trailing_metadata()).get("grpc-status-details-bin")
        assert details, f"{name}: {error.code()} without details"
        assert b"google.rpc.ErrorInfo" in details and b"strata" in details
        return error.details()
    raise AssertionError(f"{name} was accepted")


def check_errors(api):
    no_such = "no-such-decomposition"
    refused(api, "GetDecomposition", api.make("GetDecompositionRequest", decomposition_id=no_such), grpc.StatusCode.NOT_FOUND)
    empty = api.make("StartUploadRequest", digest="0" * 64, size_bytes=0)
    refused(api, "StartUpload", empty, grpc.StatusCode.INVALID_ARGUMENT)
    unknown = api.make("CreateDecompositionRequest", request_id=str(uuid.uuid4()))
    unknown.source.files.add(path="model.py", digest="1" * 64, size_bytes=5)
    refused(api, "CreateDecomposition", unknown, grpc.StatusCode.FAILED_PRECONDITION)


def check_health(channel):
    """grpc.health.v1 by hand: its messages have one field each, and gRPC's built-in service has no descriptors."""
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    for service in [b"", b"strata.v1.Strata", b"strata.v1.Worker"]:
        request = b"\x0a" + bytes([len(service)]) + service
        assert check(request, timeout=10) == b"\x08\x01", service  # status: SERVING


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--model", required=True, type=pathlib.Path)
    parser.add_argument("--timeout", type=float, default=300)
    arguments = parser.parse_args()
    with grpc.insecure_channel(arguments.server) as channel:
        grpc.channel_ready_future(channel).result(timeout=20)
        api = Api(channel)
        services = api.database.get_services()
        assert {"strata.v1.Strata", "strata.v1.Worker", "grpc.health.v1.Health"} <= set(services), services
        check_health(channel)
        check_errors(api)
        job = submit(api, arguments.model)
        events = watch(api, job.id, arguments.timeout)
        end = api.call("GetDecomposition", api.make("GetDecompositionRequest", decomposition_id=job.id))
        assert end.state == api.enum("State", "STATE_SUCCEEDED"), end
        assert events[-1].number == end.last_event
        tree, steps = check_results(api, job.id)
        bundle = download(api, job.id)
        check_bundle(bundle, steps, arguments.model)
    print(f"{len(services)} services, {len(events)} events, {len(tree.nodes)} components, {len(bundle)} files")
    print("PASS")
    return 0


if __name__ == "__main__":
    sys.exit(main())
