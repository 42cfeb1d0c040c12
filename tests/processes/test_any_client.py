"""Anyone's client: the API drives a job through reflection alone, with no generated code of ours."""

import json
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.support.daemon import PIPELINES, RealDaemon
from tests.support.wait import wait_until

Document = dict[str, Any]  # a JSON document


class Stranger:
    """Knows the address and the names in the documentation."""

    def __init__(self, address: str) -> None:
        self.sync = grpc.insecure_channel(address)
        self.channel = grpc.aio.insecure_channel(address)
        self.pool = DescriptorPool(ProtoReflectionDescriptorDatabase(self.sync))

    def method(self, name: str) -> MethodDescriptor:
        return self.pool.FindServiceByName("milepost.v1.JobService").FindMethodByName(name)

    async def call(self, name: str, document: Document) -> Document:
        method = self.method(name)
        request = json_format.ParseDict(document, GetMessageClass(method.input_type)(), descriptor_pool=self.pool)
        invoke: Any = self.channel.unary_unary(  # Any: the messages are made at run time
            f"/milepost.v1.JobService/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        return json_format.MessageToDict(
            await invoke(request, timeout=60), preserving_proto_field_name=True, descriptor_pool=self.pool
        )

    async def watch_until(self, job: str, state: str) -> list[str]:
        method = self.method("WatchJobs")
        invoke: Any = self.channel.unary_stream(  # Any: as above
            "/milepost.v1.JobService/WatchJobs",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        seen = []
        async for update in invoke(GetMessageClass(method.input_type)(filter=f"id = {job}"), timeout=60):
            document = json_format.MessageToDict(update, preserving_proto_field_name=True)
            seen += [found["state"] for found in document.get("jobs", ())]
            if state in seen:
                break
        return seen

    async def close(self) -> None:
        await self.channel.close()
        self.sync.close()


async def test_submit_watch_pause_and_resume_through_reflection(daemon: RealDaemon) -> None:
    stranger = Stranger(f"unix:{daemon.socket}")
    parameters = {"count": 30, "open": 5, "effects": str(daemon.effects_file), "gate": str(daemon.gate)}
    submitted = await stranger.call(
        "SubmitJob",
        {"python_pipeline": {"file": str(PIPELINES / "work.py")}, "parameters_json": json.dumps(parameters)},
    )
    job = submitted["job"]["id"]

    await daemon.at_gate(job, 5)
    assert len((await stranger.call("GetJob", {"job": job}))["job"]["in_flight"]) == 16

    async def paused() -> bool:
        answer = await stranger.call("PauseJob", {"job": job, "reason": "lunch", "request_id": "lunch"})
        return bool(answer.get("holding"))

    await wait_until(paused, "nothing starts any more")
    daemon.gate.touch()
    assert (await stranger.watch_until(job, "JOB_STATE_PAUSED"))[-1] == "JOB_STATE_PAUSED"
    actions = (await stranger.call("GetJob", {"job": job}))["job"]["actions"]
    [resume] = [action for action in actions if action["command"] == "COMMAND_RESUME"]
    assert resume["allowed"]
    assert resume["recommended"]
    await stranger.call("ResumeJob", {"job": job})
    assert (await stranger.watch_until(job, "JOB_STATE_COMPLETED"))[-1] == "JOB_STATE_COMPLETED"
    await stranger.close()
