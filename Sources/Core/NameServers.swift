// The name servers and what is known of them: how fast they answer, who failed lately, who cannot
// read an OPT record. Decides whom to ask first and how long to wait; asks nobody.

public struct NameServers: Sendable {
  /// A server that did not answer is asked last for so long.
  static let penalty = Nanoseconds.seconds(30)
  /// How long to wait for a server that nothing is known of, before the question is sent again or
  /// to the next. An answer that comes later still counts.
  static let firstTimeout = Nanoseconds.milliseconds(500)
  /// Below it, a busy moment of the server's machine would double every question.
  static let leastTimeout = Nanoseconds.milliseconds(250)

  private struct Server: Sendable {
    /// Smoothed round trip, as in RFC 6298, section 2.
    var roundTrip: Nanoseconds?
    var failedUntil = Instant(nanoseconds: .min)
    var readsEDNS = true
  }

  public private(set) var conf: ResolvConf
  private var servers: [Server]
  private var rotation = 0

  public init(_ conf: ResolvConf) {
    self.conf = conf
    servers = Array(repeating: Server(), count: conf.servers.count)
  }

  /// A changed configuration: what was learned of servers that stay is kept.
  public mutating func replace(_ new: ResolvConf) {
    let old = self
    self = NameServers(new)
    for (index, endpoint) in new.servers.enumerated() {
      guard let known = old.conf.servers.firstIndex(of: endpoint) else { continue }
      servers[index] = old.servers[known]
    }
  }

  var count: Int { servers.count }

  /// Whom to ask in turn: in the file's order, or rotated when it says so; who failed lately last.
  mutating func order(now: Instant) -> [Int] {
    var order: [Int] = []
    var failed: [Int] = []
    for place in servers.indices {
      let server = conf.rotates ? (place + rotation) % servers.count : place
      if servers[server].failedUntil <= now { order.append(server) } else { failed.append(server) }
    }
    if conf.rotates { rotation += 1 }
    return order + failed
  }

  /// How long the try number `pass` waits for `server`: it doubles from pass to pass.
  func timeout(of server: Int, pass: Int) -> Nanoseconds {
    let base = servers[server].roundTrip.map {
      max(Self.leastTimeout, min(Nanoseconds(count: $0.count * 4), Self.firstTimeout))
    }
    let doubled = (base ?? Self.firstTimeout).count << Int64(min(pass, 8))
    return min(Nanoseconds(count: doubled), conf.timeout)
  }

  func readsEDNS(_ server: Int) -> Bool { servers[server].readsEDNS }

  mutating func recordAnswer(of server: Int, after roundTrip: Nanoseconds) {
    let known = servers[server].roundTrip ?? roundTrip
    servers[server].roundTrip = Nanoseconds(count: (known.count * 7 + roundTrip.count) / 8)
    servers[server].failedUntil = Instant(nanoseconds: .min)
  }

  mutating func recordFailure(of server: Int, now: Instant) {
    servers[server].failedUntil = now + Self.penalty
  }

  mutating func recordNoEDNS(of server: Int) {
    servers[server].readsEDNS = false
  }
}

/// How many questions may be sent: a bucket that fills up with time. Amazon's resolver answers 1024
/// packets a second for a whole task, and then nothing at all.
public struct QueryBudget: Sendable {
  /// Enough for four names at once, which is most of what is ever configured.
  static let capacity: Int64 = 8
  /// 16 a second: with the burst, 24 in any one second.
  static let interval = Nanoseconds(count: 62_500_000)

  /// When the bucket would have been empty: the level is the time since, in intervals.
  private var emptyAt = Instant(nanoseconds: .min / 2)

  public init() {}

  /// Takes one question. Nil when it may be sent; else when to ask again.
  mutating func take(now: Instant) -> Instant? {
    let full = Nanoseconds(count: Self.capacity * Self.interval.count)
    if emptyAt + full < now { emptyAt = now - full }
    guard emptyAt + Self.interval <= now else { return emptyAt + Self.interval }
    emptyAt = emptyAt + Self.interval
    return nil
  }
}
