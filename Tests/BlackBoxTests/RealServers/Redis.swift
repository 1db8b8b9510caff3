// A Redis server of a test's own, and the client programs that speak to it, directly or through a
// forwarder. Must not know what is tested.
import Foundation

/// Runs `body` beside a server on 127.0.0.1.
func withRedis(_ body: (Redis) throws -> Void) throws {
  let server = try RealServer(user: "redis", ending: SIGTERM) { directory, port in
    [
      "redis-server", "--bind", "127.0.0.1", "--port", "\(port)", "--dir", directory.root,
      "--save", "", "--appendonly", "no",
    ]
  }
  defer { server.stop() }
  let direct = Redis(port: server.port)
  try server.waitUntilReady {
    if try direct.call("ping") != "PONG" { throw Failure("no answer") }
  }
  try body(direct)
}

/// Redis's client programs, to be run at one port.
struct Redis {
  let port: UInt16

  func via(_ sidecar: Sidecar) -> Redis { Redis(port: sidecar.port) }

  func tool(_ name: String, _ arguments: [String]) -> Program {
    Program([name, "-h", "127.0.0.1", "-p", "\(port)"] + arguments)
  }

  /// One command; the answer as people read it.
  func call(_ words: String...) throws -> String { try tool("redis-cli", words).run() }
}
