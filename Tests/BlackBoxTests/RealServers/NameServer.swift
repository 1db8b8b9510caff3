// A real name server of a test's own, on a port of its own: its records can be changed while it
// runs, and it can be killed and started again. Must not know what is tested.
import Foundation

/// What is known below `names.test`.
struct Zone {
  /// In seconds, for every record.
  var ttl = 5
  var addresses: [String: [String]] = [:]
  /// Names that lead to other names.
  var aliases: [String: String] = [:]

  static let domain = "names.test"
  /// At unbound alone: it has an A record, and for AAAA its server says REFUSED.
  static let refusedName = "db.refused.test"

  static func name(_ label: String) -> String { "\(label).\(domain)" }
}

/// How one kind of server is started and told of its records.
protocol NameServerKind: Sendable {
  /// Writes the records, and what else the server reads when it starts.
  func write(_ zone: Zone, to directory: ScratchDirectory, port: UInt16) throws
  func command(_ zone: Zone, in directory: ScratchDirectory, port: UInt16) throws -> [String]
  /// A line of its log that says that it serves.
  var readyLine: String { get }
  /// Makes it serve what was written, and returns when it does.
  func reload(_ server: RealServer, in directory: ScratchDirectory) throws
}

enum NameServerProgram: String, CaseIterable, Sendable {
  case dnsmasq, unbound

  fileprivate var kind: any NameServerKind {
    switch self {
    case .dnsmasq: Dnsmasq()
    case .unbound: Unbound()
    }
  }
}

final class NameServer {
  private let kind: any NameServerKind
  private let directory: ScratchDirectory
  private let reserved: ReservedPort
  private var zone: Zone
  private var server: RealServer?

  init(_ program: NameServerProgram, _ zone: Zone) throws {
    kind = program.kind
    directory = try ScratchDirectory()
    reserved = try ReservedPort()
    self.zone = zone
    try Data("search \(Zone.domain)\nnameserver 127.0.0.1\n".utf8).write(
      to: URL(fileURLWithPath: directory.path("resolv.conf")))
    try start()
  }

  /// What makes a daemon ask this server, and no other, for its target.
  func settings(target: String, port: UInt16) -> [String: String] {
    [
      "SIDECAR_RESOLV_CONF": directory.path("resolv.conf"),
      "SIDECAR_DNS_PORT": String(reserved.number), "LOG_LEVEL": "debug",
      "TARGET_HOST": target, "TARGET_PORT": String(port), "LISTEN_HOST": "127.0.0.1",
    ]
  }

  func start() throws {
    try kind.write(zone, to: directory, port: reserved.number)
    let started = try RealServer(ending: SIGTERM, port: reserved) { _, port in
      try kind.command(zone, in: directory, port: port)
    }
    try started.waitUntilReady {
      if !started.log.contains(kind.readyLine) { throw Failure("not ready yet") }
    }
    server = started
  }

  /// As if its machine had lost power.
  func kill() throws {
    try server?.kill()
    server = nil
  }

  /// Returns the moment before the first answer can have been another.
  @discardableResult
  func change(_ edit: (inout Zone) -> Void) throws -> Moment {
    edit(&zone)
    try kind.write(zone, to: directory, port: reserved.number)
    let moment = Moment()
    try kind.reload(server!, in: directory)
    return moment
  }
}

/// The same moment on two clocks: the tests' and that of a server's timestamps.
struct Moment {
  let instant = ContinuousClock.now
  let date = Date()

  var age: Duration { ContinuousClock.now - instant }
}
