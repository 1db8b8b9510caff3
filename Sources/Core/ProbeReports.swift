// What `sidecar probe` prints: a line for each leg on the way to a target, and what it usually
// means when one is broken.

/// The lines of one probe, in order.
public struct ProbeReport: Sendable {
  public private(set) var text: [UInt8] = []
  /// The last that was reported.
  public private(set) var failure: Failure?

  public init() {}

  @inline(never) public mutating func add(_ word: StaticString, _ line: (inout [UInt8]) -> Void) {
    text.append("  ")
    text.append(word)
    text.append(spaces: 9 - word.utf8CodeUnitCount)
    line(&text)
    text.append("\n")
  }

  /// What it usually means, below the line it belongs to.
  public mutating func add(advice: StaticString) {
    text.append(spaces: 11)
    text.append(advice)
    text.append("\n")
  }

  public mutating func begin(_ target: Target) {
    text.append(target)
    text.append("\n")
  }

  public mutating func name(
    server: Endpoint, family: Family, reply: DNSReply, after: Nanoseconds
  ) {
    add("name") {
      $0.append(server)
      $0.append(" ")
      $0.append(family.recordName)
      $0.append(" in ")
      $0.append(milliseconds: after)
      $0.append(": ")
      $0.append(reply)
    }
  }

  public mutating func nameFailed(
    _ failure: Failure, words: [(server: Endpoint, word: ServerWord)]
  ) {
    add("name") {
      $0.append("FAILED ")
      $0.append(failure.name)
      for (server, word) in words {
        $0.append("; ")
        $0.append(server)
        $0.append(" ")
        $0.append(word)
      }
    }
    add(advice: failure.advice)
    self.failure = failure
  }

  public mutating func listed(_ addresses: [IPAddress]) {
    add("name") {
      $0.append("in /etc/hosts:")
      for address in addresses {
        $0.append(" ")
        $0.append(address)
      }
    }
  }

  public mutating func connected(_ endpoint: Endpoint, after: Nanoseconds) {
    add("connect") {
      $0.append(endpoint)
      $0.append(" in ")
      $0.append(milliseconds: after)
    }
  }

  public mutating func connectFailed(
    _ endpoint: Endpoint, _ failure: Failure, after: Nanoseconds
  ) {
    add("connect") {
      $0.append(endpoint)
      $0.append(" FAILED ")
      $0.append(failure.name)
      $0.append(" after ")
      $0.append(milliseconds: after)
    }
    add(advice: failure.advice)
    self.failure = failure
  }

  public mutating func spoke(_ speaker: [UInt8]?) {
    guard let speaker else {
      add("greet") { $0.append("FAILED: it says nothing to MySQL, PostgreSQL, Redis, TLS or HTTP") }
      return add(
        advice: "usually another port's protocol, or a proxy whose own target is not reached")
    }
    add("greet") { $0 += speaker }
  }

  public mutating func hungUp() {
    add("greet") { $0.append("FAILED: it hangs up before a word is said") }
    add(
      advice: "usually a proxy or load balancer whose own target is not reached")
  }

  // MARK: The place it runs in

  public mutating func resolvConf(_ conf: ResolvConf, path: [UInt8]) {
    text.append("names by ")
    text += path
    text.append(": servers")
    for server in conf.servers {
      text.append(" ")
      text.append(server)
    }
    for (index, domain) in conf.search.enumerated() {
      text.append(index == 0 ? "; search " : " ")
      text += domain
    }
    if conf.ignored > 0 {
      text.append("; entries that cannot be used: ")
      text.append(decimal: UInt64(conf.ignored))
    }
    text.append("\n")
  }

  public mutating func limits(descriptors: Int, pipeQuotaPages: Int, cpus: Int) {
    text.append("limits: nofile ")
    text.append(decimal: UInt64(clamping: descriptors))
    text.append(", pipe quota ")
    text.append(decimal: UInt64(clamping: pipeQuotaPages))
    text.append(" pages, CPUs ")
    text.append(decimal: UInt64(clamping: cpus))
    text.append("\n")
  }

  /// What will hurt, sooner or later. `stopTimeout` is how long the platform waits after SIGTERM.
  public mutating func warnings(
    _ settings: Settings, descriptors: Int, stopTimeout: Nanoseconds
  ) {
    if descriptors <= 1_024 {
      warn("nofile is 1024 or less: about 450 connections; raise it (ulimits in the task)")
    }
    let drain = Nanoseconds(count: settings.drainDelay.count + settings.drainTimeout.count)
    if stopTimeout < drain + .seconds(2) {
      warn("DRAIN_DELAY and DRAIN_TIMEOUT end less than 2s before the stop timeout: SIGKILL cuts")
    }
    if settings.peerTimeout > .seconds(3 * 350) {
      warn("keepalive begins after PEER_TIMEOUT/3, here above 350s: load balancers forget sooner")
    }
  }

  @inline(never) public mutating func warn(_ line: StaticString) {
    text.append("warning: ")
    text.append(line)
    text.append("\n")
  }
}

extension Nanoseconds {
  static func + (left: Nanoseconds, right: Nanoseconds) -> Nanoseconds {
    Nanoseconds(count: left.count &+ right.count)
  }
}

extension [UInt8] {
  mutating func append(milliseconds span: Nanoseconds) {
    let microseconds = UInt64(Swift.max(0, span.count)) / 1_000
    append(decimal: microseconds / 1_000)
    append(".")
    append(decimal: microseconds / 100 % 10)
    append(" ms")
  }

  fileprivate mutating func append(_ reply: DNSReply) {
    switch reply {
    case .notOurs: append("ignored: no answer to this question")
    case .truncated: append("truncated, asked again by TCP")
    case .addresses(let addresses, let ttl):
      for address in addresses {
        append(address)
        append(" ")
      }
      append("(TTL ")
      append(decimal: UInt64(ttl))
      append("s)")
    case .noAddress: append("no address")
    case .noName: append("NXDOMAIN: no such name")
    case .fault(let fault): append(fault)
    }
  }
}
