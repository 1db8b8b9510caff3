// The addresses behind the targets, as one worker sees them. Reads /etc/hosts and never waits for a
// network; DNS takes its seat here.
import Core
import Linux

struct Names {
  /// A changed file is noticed within this, and a busy worker asks for its time no more often.
  private static let checkInterval = Nanoseconds.seconds(5)
  private static let maxFileBytes = 1 << 20

  private var hosts = HostsFile([])
  private var modified: Int64?
  private var checkAgain = Instant(nanoseconds: .min)
  private let path = [UInt8]("/etc/hosts")

  /// All addresses of the target in the order to try them in; none when the name is unknown.
  mutating func addresses(of target: Target, now: Instant) -> [IPAddress] {
    switch target.kind {
    case .address(let address): return [address]
    case .name(let name):
      refresh(now)
      return hosts.addresses(of: name)
    }
  }

  private mutating func refresh(_ now: Instant) {
    guard checkAgain <= now else { return }
    checkAgain = now + Self.checkInterval
    let time = modificationTime(path)
    guard time != modified else { return }
    modified = time
    hosts = HostsFile(readFile(path, limit: Self.maxFileBytes) ?? [])
  }
}
