// unbound as the tests use it: the authority for one zone, which it reads again when it is told so
// through a socket in its directory.
import Foundation

struct Unbound: NameServerKind {
  let readyLine = "start of service"

  func write(_ zone: Zone, to directory: ScratchDirectory, port: UInt16) throws {
    var records = "@ 1 IN SOA ns hostmaster 1 3600 3600 3600 1\n@ 1 IN NS ns\n"
    for (label, addresses) in zone.addresses {
      for address in addresses {
        let type = address.contains(":") ? "AAAA" : "A"
        records += "\(label) \(zone.ttl) IN \(type) \(address)\n"
      }
    }
    for (label, target) in zone.aliases { records += "\(label) \(zone.ttl) IN CNAME \(target)\n" }
    try Data("$ORIGIN \(Zone.domain).\n\(records)".utf8).write(
      to: URL(fileURLWithPath: directory.path("zone")))
    try Data(settings(directory, port).utf8).write(
      to: URL(fileURLWithPath: directory.path("unbound.conf")))
  }

  private func settings(_ directory: ScratchDirectory, _ port: UInt16) -> String {
    """
    server:
      interface: 127.0.0.1
      port: \(port)
      directory: "\(directory.root)"
      username: ""
      chroot: ""
      pidfile: ""
      use-syslog: no
      num-threads: 1
      module-config: "iterator"
      local-zone: "test." nodefault
      local-zone: "refused.test." refuse
      local-data: "\(Zone.refusedName). 5 IN A 127.0.0.1"
    auth-zone:
      name: "\(Zone.domain)."
      zonefile: "zone"
      for-downstream: yes
      for-upstream: no
    remote-control:
      control-enable: yes
      control-interface: "\(directory.path("control"))"
      control-use-cert: no

    """
  }

  /// A copy of the program: where AppArmor confines it, it does so by its path, to /etc/unbound.
  func command(_ zone: Zone, in directory: ScratchDirectory, port: UInt16) throws -> [String] {
    let copy = directory.path("unbound")
    if access(copy, X_OK) != 0 {
      try Program(["sh", "-c", #"cp "$(command -v unbound)" "$0""#, copy]).run()
    }
    return [copy, "-d", "-c", directory.path("unbound.conf")]
  }

  func reload(_ server: RealServer, in directory: ScratchDirectory) throws {
    let control = ["unbound-control", "-c", directory.path("unbound.conf")]
    try Program(control + ["auth_zone_reload", Zone.domain]).run()
  }
}
