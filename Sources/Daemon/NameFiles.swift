// resolv.conf and /etc/hosts: read when a lookup begins, and again when they have changed.
import Core
import Linux

struct NameFiles {
  /// What there is to tell people of a resolv.conf that was just read.
  enum Finding {
    case missing
    case ignored(Int)
  }

  /// A container's resolv.conf may be written after it has started.
  private static let confInterval = Nanoseconds.seconds(5)
  private static let hostsInterval = Nanoseconds.seconds(1)
  private static let maxFileBytes = 1 << 20

  private(set) var hosts = HostsFile([])
  var servers: NameServers

  private let confPath: [UInt8]
  private let port: UInt16
  private var confStamp: FileStamp?
  private var hostsStamp: FileStamp?
  private var checkConf = Instant(nanoseconds: .min)
  private var checkHosts = Instant(nanoseconds: .min)

  init(_ settings: Settings) {
    confPath = settings.resolvConf
    port = settings.dnsPort
    servers = NameServers(ResolvConf([], port: port))
  }

  mutating func refresh(_ now: Instant) -> Finding? {
    if checkHosts <= now {
      checkHosts = now + Self.hostsInterval
      let path = [UInt8]("/etc/hosts")
      switch Self.contents(path, changedSince: &hostsStamp) {
      case .same: break
      case .missing: hosts = HostsFile([])
      case .bytes(let bytes): hosts = HostsFile(bytes)
      }
    }
    guard checkConf <= now else { return nil }
    checkConf = now + Self.confInterval
    switch Self.contents(confPath, changedSince: &confStamp) {
    case .same: return nil
    case .missing:
      use(ResolvConf([], port: port))
      return .missing
    case .bytes(let bytes):
      let conf = ResolvConf(bytes, port: port)
      use(conf)
      return conf.ignored > 0 ? .ignored(conf.ignored) : nil
    }
  }

  private mutating func use(_ conf: ResolvConf) {
    if conf != servers.conf { servers.replace(conf) }
  }

  /// No server answered: the next lookup looks whether there are others now.
  mutating func lookAgain() { checkConf = Instant(nanoseconds: .min) }

  private enum Contents {
    case same, missing
    case bytes([UInt8])
  }

  /// The file's bytes, unless it has not changed. `known` is nil before it was first looked at.
  private static func contents(
    _ path: [UInt8], changedSince known: inout FileStamp?
  ) -> Contents {
    let stamp = FileStamp(of: path)
    guard stamp != known else { return .same }
    known = stamp
    return readFile(path, limit: maxFileBytes).map { .bytes($0) } ?? .missing
  }
}
