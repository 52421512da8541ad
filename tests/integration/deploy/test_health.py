import http.server
import socket
import subprocess
import sys
import threading
from concurrent import futures

import grpc
import pytest

from deploy import health
from runtime.addresses import free_port


@pytest.fixture
def room(tmp_path):
    """A gRPC server without any method on a Unix socket."""
    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_insecure_port(f"unix:{tmp_path}/room.sock")
    server.start()
    yield f"unix:{tmp_path}/room.sock"
    server.stop(None).wait()


@pytest.fixture
def listener(tmp_path):
    """A Unix socket on which one connection meets the given behaviour."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"{tmp_path}/odd.sock")
    server.listen()
    threads = []

    def behave(answer: bytes) -> str:
        def run() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(answer)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return f"unix:{tmp_path}/odd.sock"

    yield behave
    for thread in threads:
        thread.join()
    server.close()


@pytest.fixture
def site():
    """An HTTP server that answers /fine with 200, /login with 401 and anything else with 500."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response({"/fine": 200, "/login": 401}.get(self.path, 500))
            self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_grpc_server_that_answers_is_healthy(room):
    assert health.main([room]) == 0


def test_a_socket_that_is_not_there_is_named(tmp_path, capsys):
    assert health.main([f"unix:{tmp_path}/none.sock"]) == 1
    assert "none.sock" in capsys.readouterr().err


def test_a_server_that_listens_and_says_nothing_is_unhealthy(tmp_path, capsys):
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(f"{tmp_path}/hung.sock")
        hung.listen()
        assert health.main([f"unix:{tmp_path}/hung.sock"], timeout_s=0.2) == 1
    assert "timed out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "closed the connection"),
        (b"\0\0\0\x07\0\0\0\0\0", "refused the call"),  # GOAWAY
        (b"\0\0\0\x03\0\0\0\0\x01", "refused the call"),  # RST_STREAM of our call
        (b"\0\0\0\x04\0\0\0\0\0" * health.MAX_FRAMES, "no answer"),  # SETTINGS without end
    ],
)
def test_a_server_that_does_not_answer_the_call_is_unhealthy(listener, answer, said, capsys):
    assert health.main([listener(answer)]) == 1
    assert said in capsys.readouterr().err


def test_http_below_500_is_healthy(site):
    assert health.main([f"{site}/fine", f"{site}/login"]) == 0
    assert health.main([f"{site}/fine", f"{site}/broken"]) == 1


def test_a_tcp_port_is_healthy_while_somebody_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = f"tcp:127.0.0.1:{server.getsockname()[1]}"
        assert health.main([target]) == 0
    assert health.main([f"tcp:127.0.0.1:{free_port()}"]) == 1


@pytest.mark.parametrize("targets", [[], ["ftp:somewhere"], ["tcp:127.0.0.1:port"]])
def test_a_target_that_makes_no_sense_is_unhealthy(targets):
    assert health.main(targets) == 1


def test_the_check_needs_no_room_and_no_library_of_others():
    code = "import sys, deploy.health; print({'grpc', 'pydantic', 'numpy', 'party'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
