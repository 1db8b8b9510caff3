// A PostgreSQL server of a test's own, and the client programs that speak to it, directly or
// through a forwarder. Must not know what is tested.
import Foundation

/// Runs `body` beside a server on 127.0.0.1.
func withPostgreSQL(_ body: (PostgreSQL) throws -> Void) throws {
  let server = try PostgreSQL.start()
  // SIGINT is PostgreSQL's fast shutdown: it ends the sessions and gives back shared memory.
  defer { server.stop() }
  let direct = PostgreSQL(port: server.port)
  try server.waitUntilReady { try direct.query("select 1") }
  try body(direct)
}

/// PostgreSQL's client programs, to be run at one port.
struct PostgreSQL {
  let port: UInt16

  func via(_ sidecar: Sidecar) -> PostgreSQL { PostgreSQL(port: sidecar.port) }

  fileprivate static func start() throws -> RealServer {
    // Nothing here has to survive a crash: no flush to disk, which on a busy machine costs most.
    let settings = [
      "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off",
      "synchronous_commit=off", "full_page_writes=off", "max_wal_size=2GB", "autovacuum=off",
    ]
    return try RealServer(user: "postgres", ending: SIGINT) { directory in
      let make = [
        try program("initdb"), "-D", directory.path("data"), "-U", "tester", "-A", "trust",
        "-E", "UTF8", "--no-locale", "--no-sync",
      ]
      try Program(make).asUser("postgres").run()
    } command: { directory, port in
      [try program("postgres"), "-D", directory.path("data"), "-p", "\(port)"]
        + settings.flatMap { ["-c", $0] }
    }
  }

  /// Debian keeps the programs of each major version apart; the highest one serves.
  private static func program(_ name: String) throws -> String {
    let versions = "/usr/lib/postgresql"
    let found = (try? FileManager.default.contentsOfDirectory(atPath: versions)) ?? []
    guard let newest = found.compactMap(Int.init).max() else {
      throw Failure("PostgreSQL is missing: apt-get install postgresql")
    }
    return "\(versions)/\(newest)/bin/\(name)"
  }

  /// One of the client programs, ready to run.
  func tool(_ name: String, _ arguments: [String], on database: String = "postgres") throws
    -> Program
  {
    Program(
      [try Self.program(name)] + arguments,
      environment: [
        "PGHOST": "127.0.0.1", "PGPORT": "\(port)", "PGUSER": "tester", "PGDATABASE": database,
        "PGCONNECT_TIMEOUT": "20", "PGSSLMODE": "disable",
      ])
  }

  /// Statements for psql, ended at the first error; the answer comes without headings.
  func psql(_ statements: [String], on database: String = "postgres") throws -> Program {
    let commands = statements.flatMap { ["-c", $0] }
    return try tool("psql", ["-XAtq", "-v", "ON_ERROR_STOP=1"] + commands, on: database)
  }

  @discardableResult
  func query(_ statements: String..., on database: String = "postgres") throws -> String {
    try psql(statements, on: database).run()
  }
}
