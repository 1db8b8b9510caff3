// A MariaDB server of a test's own, and the client programs that speak to it, directly or through a
// forwarder. Must not know what is tested.
import Foundation

/// Runs `body` beside a server on 127.0.0.1.
func withMariaDB(_ body: (MariaDB) throws -> Void) throws {
  let server = try MariaDB.start()
  defer { server.stop() }
  let direct = MariaDB(port: server.port)
  // Looks at the log first: an attempt that is refused might count as an error of this host.
  let log = server.directory.path("log")
  try server.waitUntilReady {
    if !tail(of: log).contains("ready for connections") { throw Failure("not ready yet") }
    try direct.query("select 1")
  }
  try body(direct)
}

/// MariaDB's client programs, to be run at one port.
struct MariaDB {
  let port: UInt16

  func via(_ sidecar: Sidecar) -> MariaDB { MariaDB(port: sidecar.port) }

  fileprivate static func start() throws -> RealServer {
    try RealServer(user: "mysql", ending: SIGTERM) { directory in
      let make = [
        "mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal",
        "--skip-test-db", "--datadir=" + directory.path("data"),
      ]
      try Program(make).asUser("mysql").run()
    } command: { directory, port in
      // Nothing here has to survive a crash, so little is flushed to disk.
      [
        "mariadbd", "--no-defaults", "--datadir=" + directory.path("data"),
        "--socket=" + directory.path("socket"), "--pid-file=" + directory.path("pid"),
        "--port=\(port)", "--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=0",
        "--innodb-doublewrite=0",
        "--max-allowed-packet=64M",
      ]
    }
  }

  /// One of the client programs, ready to run.
  func tool(_ name: String, _ arguments: [String]) -> Program {
    let options = ["--no-defaults", "--host=127.0.0.1", "--port=\(port)", "--user=root"]
    return Program([name] + options + arguments)
  }

  /// The answer comes without headings, its columns separated by tabs.
  @discardableResult
  func query(_ statements: String, on database: String = "") throws -> String {
    let select = database.isEmpty ? [] : ["--database=" + database]
    return try tool("mariadb", ["-N", "-B", "-e", statements] + select).run()
  }

  /// The counters of the server whose names match, all that are not 0.
  func counters(like pattern: String) throws -> [String: Int] {
    try query("show global status where variable_name rlike '\(pattern)'")
      .split(separator: "\n").reduce(into: [:]) { counters, line in
        let parts = line.split(separator: "\t")
        if let value = Int(parts[1]), value != 0 { counters[String(parts[0])] = value }
      }
  }
}
