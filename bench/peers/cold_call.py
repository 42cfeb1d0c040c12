"""One call of the standard health service, and what it needs: `cold_call.py SOCKET`."""

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

channel = grpc.insecure_channel(f"unix:{sys.argv[1]}")
print(health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest()).status)
