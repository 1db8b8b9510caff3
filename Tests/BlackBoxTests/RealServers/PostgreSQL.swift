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

/// Runs `body` beside two servers at the same port, `old` on 127.0.0.1 and `new` on 127.0.0.2: what
/// a name leads to before and after a failover.
func withPostgreSQLPair(_ body: (PostgreSQLPair) throws -> Void) throws {
  let port = try ReservedPort()
  let template = try ScratchDirectory()
  try template.give(to: "postgres")
  try PostgreSQL.initialize(template)
  let oldServer = try PostgreSQL.start("old", on: .ipv4, port: port, from: template)
  defer { oldServer.stop() }
  let newServer = try PostgreSQL.start("new", on: .otherIPv4, port: port, from: template)
  defer { newServer.stop() }
  let pair = PostgreSQLPair(
    port: port.number, old: PostgreSQL(port: port.number),
    new: PostgreSQL(host: .otherIPv4, port: port.number), oldServer: oldServer)
  for (server, direct) in [(oldServer, pair.old), (newServer, pair.new)] {
    try server.waitUntilReady { try direct.query("select 1") }
  }
  try body(pair)
}

struct PostgreSQLPair {
  let port: UInt16
  let old: PostgreSQL
  let new: PostgreSQL
  let oldServer: RealServer

  /// Kills the old server as a loss of power would, but for the one segment of shared memory that
  /// its parent process owns, and that outlives it (in postmaster.pid, line 7).
  func killOld() throws {
    let file = oldServer.directory.path("data/postmaster.pid")
    let lines = try String(contentsOfFile: file, encoding: .utf8).components(separatedBy: "\n")
    let segment = lines.count > 6 ? lines[6].split(separator: " ").last : nil
    try oldServer.kill()
    guard let segment else { throw Failure("no segment in \(lines)") }
    try eventually("its children have gone") {
      try Program(["ipcs", "-m", "-i", String(segment)]).run().contains("nattch=0")
    }
    try Program(["ipcrm", "-m", String(segment)]).run()
  }
}

/// PostgreSQL's client programs, to be run at one port.
struct PostgreSQL {
  var host = Loopback.ipv4
  let port: UInt16

  func via(_ sidecar: Sidecar) -> PostgreSQL { PostgreSQL(port: sidecar.port) }

  fileprivate static func initialize(_ directory: ScratchDirectory) throws {
    let make = [
      try program("initdb"), "-D", directory.path("data"), "-U", "tester", "-A", "trust",
      "-E", "UTF8", "--no-locale", "--no-sync",
    ]
    try Program(make).asUser("postgres").run()
  }

  /// `name` is what `show cluster_name` says. With a `template`, its data are copied.
  fileprivate static func start(
    _ name: String = "", on host: Loopback = .ipv4, port: ReservedPort? = nil,
    from template: ScratchDirectory? = nil
  ) throws -> RealServer {
    // Nothing here has to survive a crash: no flush to disk, which on a busy machine costs most.
    let settings = [
      "listen_addresses=\(host.rawValue)", "unix_socket_directories=", "fsync=off",
      "synchronous_commit=off", "full_page_writes=off", "max_wal_size=2GB", "autovacuum=off",
      "dynamic_shared_memory_type=mmap", "cluster_name=\(name)",
    ]
    return try RealServer(user: "postgres", ending: SIGINT, port: port) { directory in
      guard let template else { return try initialize(directory) }
      try Program(["cp", "-a", template.path("data"), directory.path("data")]).run()
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
        "PGHOST": host.rawValue, "PGPORT": "\(port)", "PGUSER": "tester", "PGDATABASE": database,
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
