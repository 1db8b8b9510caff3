// dnsmasq as the tests use it: addresses from a file in the form of /etc/hosts, which SIGHUP makes
// it read again, and nobody behind it whom it could ask.
import Foundation

struct Dnsmasq: NameServerKind {
  /// It ends in `/hosts - 3 names`.
  let readyLine = "/hosts - "

  func write(_ zone: Zone, to directory: ScratchDirectory, port: UInt16) throws {
    let lines = zone.addresses.flatMap { label, addresses in
      addresses.map { "\($0) \(Zone.name(label))\n" }
    }
    try Data(lines.joined().utf8).write(to: URL(fileURLWithPath: directory.path("hosts")))
  }

  func command(_ zone: Zone, in directory: ScratchDirectory, port: UInt16) -> [String] {
    [
      "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=",
      "--log-facility=-", "--port=\(port)", "--listen-address=127.0.0.1", "--bind-interfaces",
      "--no-resolv", "--no-hosts", "--addn-hosts=" + directory.path("hosts"),
      "--local=/\(Zone.domain)/", "--local-ttl=\(zone.ttl)",
    ]
      + zone.aliases.map {
        "--cname=\(Zone.name($0.key)),\(Zone.name($0.value)),\(zone.ttl)"
      }
  }

  func reload(_ server: RealServer, in directory: ScratchDirectory) throws {
    let before = reads(server)
    try server.send(SIGHUP)
    try eventually("dnsmasq reads its addresses again") { reads(server) > before }
  }

  private func reads(_ server: RealServer) -> Int {
    server.log.split(separator: "\n").count { $0.contains(readyLine) }
  }
}
