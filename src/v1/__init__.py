"""Generated from `proto/milepost/v1` by `scripts/generate-protos`; nothing here is written by hand.

The import path is the proto package, so nothing has to be rewritten. May import protobuf and grpc only.
"""
