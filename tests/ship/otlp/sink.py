"""An OTLP receiver made of the official protobufs: says what it got, and answers as it is told.

    sink.py grpc|http [--plan ANSWER,ANSWER…] [--port N] [--cert FILE --key FILE] [--client-ca FILE]

The first line of standard output is {"port": N}; then a line for each request. Answers in turn, and
`ok` when there are no more of them:

    ok          takes everything
    partial:N   takes everything but N
    warn        takes everything, and has something to say
    slow        answers when nobody waits any more
    close       hangs up without an answer
    vanish      takes everything, then hangs up (HTTP)
    NAME[:S]    a gRPC status; with RetryInfo of S seconds
    NUMBER[:S]  an HTTP status; with Retry-After of S seconds
"""

import argparse
import json
import ssl
import sys
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc

SLOW_S = 30
OVER = threading.Event()


class Plan:
    def __init__(self, text):
        self.answers = [answer for answer in text.split(",") if answer]
        self.lock = threading.Lock()

    def next(self):
        """The next answer: its name, and the number after the colon."""
        with self.lock:
            answer = self.answers.pop(0) if self.answers else "ok"
        name, _, number = answer.partition(":")
        return name, int(number) if number else None

    def tell(self, **what):
        with self.lock:
            print(json.dumps(what), flush=True)


def value(any_value):
    kind = any_value.WhichOneof("value")
    inner = getattr(any_value, kind) if kind else None
    if kind == "array_value":
        return [value(one) for one in inner.values]
    if kind == "kvlist_value":
        return attributes(inner.values)
    return inner


def attributes(pairs):
    named = {pair.key: value(pair.value) for pair in pairs}
    if len(named) != len(pairs):
        raise ValueError(f"an attribute comes twice: {[pair.key for pair in pairs]}")
    return named


def scope(of):
    return {"name": of.scope.name, "version": of.scope.version}


def log(record):
    return {
        "time": record.time_unix_nano,
        "observed": record.observed_time_unix_nano,
        "severity": [record.severity_number, record.severity_text],
        "event": record.event_name,
        "body": value(record.body),
        "attributes": attributes(record.attributes),
    }


def point(one):
    said = {"labels": attributes(one.attributes), "start": one.start_time_unix_nano, "time": one.time_unix_nano}
    if hasattr(one, "bucket_counts"):
        said |= {"count": one.count, "sum": one.sum}
        said |= {"counts": list(one.bucket_counts), "bounds": list(one.explicit_bounds)}
    else:
        said["value"] = getattr(one, one.WhichOneof("value"))
    return said


def metric(one):
    kind = one.WhichOneof("data")
    data = getattr(one, kind)
    said = {"name": one.name, "help": one.description, "unit": one.unit, "kind": kind}
    if kind != "gauge":
        said["temporality"] = data.aggregation_temporality
    if kind == "sum":
        said["monotonic"] = data.is_monotonic
    return said | {"points": [point(one) for one in data.data_points]}


def parsed(request):
    """What a request says, in plain JSON."""
    if isinstance(request, logs.ExportLogsServiceRequest):
        parts, items, of = request.resource_logs, lambda part: part.scope_logs, lambda s: [log(r) for r in s.log_records]
    else:
        parts, items, of = request.resource_metrics, lambda part: part.scope_metrics, lambda s: [metric(m) for m in s.metrics]
    return [
        {"resource": attributes(part.resource.attributes), "scope": scope(s), "items": of(s)}
        for part in parts
        for s in items(part)
    ]


def response(signal, name, number):
    if signal == "logs":
        answer, refused = logs.ExportLogsServiceResponse(), "rejected_log_records"
    else:
        answer, refused = metrics.ExportMetricsServiceResponse(), "rejected_data_points"
    if name in ("partial", "warn"):
        setattr(answer.partial_success, refused, number or 0)
        answer.partial_success.error_message = "so says the receiver"
    return answer


def field(number, payload):
    """A field of a protobuf message that is short."""
    return bytes([number << 3 | 2, len(payload)]) + payload


def retry_info(code, seconds):
    """google.rpc.Status with google.rpc.RetryInfo: no package has these messages."""
    duration = bytes([1 << 3, seconds])
    kind = b"type.googleapis.com/google.rpc.RetryInfo"
    info = field(1, kind) + field(2, field(1, duration))
    return bytes([1 << 3, code]) + field(2, b"later") + field(3, info)


class Servicer:
    def __init__(self, signal, plan):
        self.signal, self.plan = signal, plan

    def Export(self, request, context):
        name, number = self.plan.next()
        metadata = {key: text for key, text in context.invocation_metadata() if isinstance(text, str)}
        self.plan.tell(signal=self.signal, answer=name, peer=context.peer(), headers=metadata, said=parsed(request))
        if name == "slow":
            OVER.wait(SLOW_S)
        elif name not in ("ok", "partial", "warn"):
            code = grpc.StatusCode[name]
            if number is not None:
                details = retry_info(code.value[0], number)
                context.set_trailing_metadata((("grpc-status-details-bin", details),))
            context.abort(code, "so says the receiver")
        return response(self.signal, name, number)


def serve_grpc(plan, options):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    logs_grpc.add_LogsServiceServicer_to_server(Servicer("logs", plan), server)
    metrics_grpc.add_MetricsServiceServicer_to_server(Servicer("metrics", plan), server)
    if options.cert:
        read = lambda path: open(path, "rb").read() if path else None
        credentials = grpc.ssl_server_credentials(
            [(read(options.key), read(options.cert))], read(options.client_ca), bool(options.client_ca)
        )
        port = server.add_secure_port(f"127.0.0.1:{options.port}", credentials)
    else:
        port = server.add_insecure_port(f"127.0.0.1:{options.port}")
    server.start()
    print(json.dumps({"port": port}), flush=True)
    server.wait_for_termination()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        plan = self.server.plan
        body = self.rfile.read(int(self.headers["content-length"]))
        # Below a path of its own, as receivers of many tenants have it.
        signal = {"/otlp/v1/logs": "logs", "/otlp/v1/metrics": "metrics"}.get(self.path)
        if signal is None or self.headers["content-type"] != "application/x-protobuf":
            return self.answer(404, b"")
        kind = logs.ExportLogsServiceRequest if signal == "logs" else metrics.ExportMetricsServiceRequest
        request = kind.FromString(body)
        name, number = plan.next()
        headers = {key.lower(): text for key, text in self.headers.items()}
        peer = f"{self.client_address[0]}:{self.client_address[1]}"
        plan.tell(signal=signal, answer=name, peer=peer, headers=headers, said=parsed(request))
        if name == "slow":
            OVER.wait(SLOW_S)
        if name == "close":
            self.close_connection = True
            return None
        if name.isdigit():
            return self.answer(int(name), field(2, b"so says the receiver"), number)
        self.answer(200, response(signal, name, number).SerializeToString())
        self.close_connection = name == "vanish"

    def answer(self, status, body, after=None):
        self.send_response(status)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(body)))
        if after is not None:
            self.send_header("retry-after", str(after))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve_http(plan, options):
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
    server.daemon_threads = True
    server.plan = plan
    if options.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.cert, options.key)
        context.set_alpn_protocols(["http/1.1"])
        if options.client_ca:
            context.load_verify_locations(options.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(json.dumps({"port": server.server_address[1]}), flush=True)
    server.serve_forever()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("transport", choices=["grpc", "http"])
    parser.add_argument("--plan", default="")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--client-ca")
    options = parser.parse_args()
    serve = serve_grpc if options.transport == "grpc" else serve_http
    serve(Plan(options.plan), options)


if __name__ == "__main__":
    sys.exit(main())
