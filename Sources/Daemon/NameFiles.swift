// resolv.conf and /etc/hosts: read when a lookup begins, and again when they have changed.
import Core
import Linux

struct NameFiles {
  /// A container's resolv.conf may be written after it has started.
  private static let confInterval = Nanoseconds.seconds(5)
  private static let hostsInterval = Nanoseconds.seconds(1)
  private static let maxFileBytes = 1 << 20

  private(set) var hosts = HostsFile([])
  var servers: NameServers

  private let confPath: [UInt8]
  private let port: UInt16
  private var confTime: Int64?
  private var hostsTime: Int64?
  private var checkConf = Instant(nanoseconds: .min)
  private var checkHosts = Instant(nanoseconds: .min)

  init(_ settings: Settings) {
    confPath = settings.resolvConf
    port = settings.dnsPort
    servers = NameServers(ResolvConf([], port: port))
  }

  mutating func refresh(_ now: Instant) {
    if checkHosts <= now {
      checkHosts = now + Self.hostsInterval
      let path = [UInt8]("/etc/hosts")
      if let bytes = contents(path, changedSince: &hostsTime) { hosts = HostsFile(bytes) }
    }
    if checkConf <= now {
      checkConf = now + Self.confInterval
      if let bytes = contents(confPath, changedSince: &confTime) {
        let conf = ResolvConf(bytes, port: port)
        if conf != servers.conf { servers.replace(conf) }
      }
    }
  }

  /// No server answered: the next lookup looks whether there are others now.
  mutating func lookAgain() { checkConf = Instant(nanoseconds: .min) }

  /// The file's bytes if it has changed; none at all where it cannot be read.
  private func contents(_ path: [UInt8], changedSince known: inout Int64?) -> [UInt8]? {
    let time = modificationTime(path)
    guard time != known else { return nil }
    known = time
    return readFile(path, limit: Self.maxFileBytes) ?? []
  }
}
