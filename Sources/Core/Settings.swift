// What the environment asks for, checked and complete: the program never looks at a variable again.
// How it is read and what can be wrong with it: SettingsParser.swift.

public struct Settings: Equatable, Sendable {
  public enum Mode: Sendable { case proxy, sleep }

  /// What a client gets that leaves without a byte before the target is reached.
  public enum ProbePolicy: Sendable {
    /// Nothing of it reaches the target.
    case absorb
    /// The target sees a connection that opens and ends, for protocols in which that says
    /// something.
    case forward
  }

  /// What becomes of connections to an address that the target's name does not have any more.
  public enum ChangePolicy: Int, Sendable {
    case keep
    /// Ended in order once they move nothing for a moment.
    case drain
    /// Reset, spread over a few seconds.
    case reset
  }

  /// How bytes are moved: a switch for tests.
  public enum TransferPolicy: Int, Sendable { case automatic, copy, splice }

  public var mode = Mode.proxy
  /// One at least in proxy mode; in sleep mode whatever was given in full.
  public var forwards: [Forward] = []
  /// Nil listens on all addresses, dual stack.
  public var listenAddress: IPAddress?
  public var logLevel = LogLevel.info
  public var logFormat = LogFormat.text
  public var connectTimeout = Nanoseconds.seconds(5)
  /// Nil: an idle connection is never ended.
  public var idleTimeout: Nanoseconds?
  public var drainDelay = Nanoseconds.zero
  /// Below the 30 s that ECS waits between SIGTERM and SIGKILL.
  public var drainTimeout = Nanoseconds.seconds(25)
  public var peerTimeout = Nanoseconds.seconds(30)
  /// Nil: as many as the descriptor limit allows.
  public var maxConnections: Int?
  /// Nil: as many as there are CPUs that the container may use.
  public var workers: Int?
  public var probes = ProbePolicy.absorb
  /// How long the last good addresses of a name stand in when no name server answers.
  public var staleLimit = Nanoseconds.seconds(600)
  public var onTargetChange = ChangePolicy.keep
  /// Nil: no metrics page.
  public var metricsPort: UInt16?
  public var metricsAddress = IPAddress(ipv4: 0x7f00_0001)
  /// LISTEN_PORT, or the first of FORWARDS, in sleep mode too: names the control socket.
  public var controlPort: UInt16 = 8080
  /// Gives up, after the start, what forwarding does not need.
  public var sandbox = true
  public var transfer = TransferPolicy.automatic
  /// Where name servers are listed, and the port they are asked at: switches for tests.
  public var resolvConf = [UInt8]("/etc/resolv.conf")
  public var dnsPort: UInt16 = 53

  public init() {}
}

/// One port that is listened on, and where its connections go.
public struct Forward: Equatable, Sendable {
  public var listenPort: UInt16
  public var target: Target

  public init(listenPort: UInt16, target: Target) {
    self.listenPort = listenPort
    self.target = target
  }
}

public struct Target: Equatable, Sendable {
  public enum Kind: Equatable, Sendable {
    case address(IPAddress)
    /// In lower case, without the trailing dot.
    case name([UInt8])
  }

  /// As it was configured, without brackets: for people to recognize.
  public var host: [UInt8]
  public var kind: Kind
  public var port: UInt16

  public init(host: [UInt8], kind: Kind, port: UInt16) {
    self.host = host
    self.kind = kind
    self.port = port
  }
}

/// Each level includes those before it.
public enum LogLevel: UInt8, Comparable, CaseIterable, Sendable {
  case error, warn, info, debug

  public var name: StaticString {
    switch self {
    case .error: "error"
    case .warn: "warn"
    case .info: "info"
    case .debug: "debug"
    }
  }

  @inlinable public static func < (left: LogLevel, right: LogLevel) -> Bool {
    left.rawValue < right.rawValue
  }
}

public enum LogFormat: CaseIterable, Sendable {
  case text, json

  public var name: StaticString {
    switch self {
    case .text: "text"
    case .json: "json"
    }
  }
}

extension [UInt8] {
  /// Appends the target as it was configured: `db.example:5432`, `[2001:db8::1]:5432`.
  public mutating func append(_ target: Target) {
    append(host: target.host[...], port: UInt64(target.port))
  }

  mutating func append(host: ArraySlice<UInt8>, port: UInt64) {
    let isBracketed = host.contains(UInt8(ascii: ":"))
    if isBracketed { append("[") }
    append(contentsOf: host)
    append(isBracketed ? "]:" : ":")
    append(decimal: port)
  }
}
