// Whether the targets are well, judged by what real connections met.

public enum TargetHealth: Equatable, Sendable {
  case reached
  /// Nothing was tried in the last minute.
  case unknown
  /// Which forward, when, and why.
  case failed(forward: Int, ago: Nanoseconds, cause: Failure)

  static let memory = Nanoseconds.seconds(60)

  /// The worst of all forwards: a failure, then ignorance.
  public static func judge(_ forwards: [ForwardCounts], now: Instant) -> TargetHealth {
    var worst = TargetHealth.reached
    for (index, counts) in forwards.enumerated() {
      let success = counts.lastSuccess
      if let (failure, cause) = counts.lastFailure, now < failure + memory,
        success.map({ $0 < failure }) ?? true
      {
        return .failed(forward: index, ago: now - failure, cause: cause)
      }
      let isRecent = success.map { now < $0 + memory } ?? false
      if !isRecent { worst = .unknown }
    }
    return worst
  }

  /// One line for people and scripts: `ok`, `unknown`, or what is wrong.
  public func line(_ targets: [Target]) -> [UInt8] {
    switch self {
    case .reached: return [UInt8](ControlRequest.ok)
    case .unknown: return [UInt8](ControlRequest.unknown)
    case .failed(let forward, let ago, let cause):
      return Self.failed(targets[forward], cause, ago: ago)
    }
  }

  /// What is wrong, in one line. Without `ago` it was tried just now.
  @inline(never) public static func failed(_ target: Target, _ cause: Failure, ago: Nanoseconds?)
    -> [UInt8]
  {
    var text = [UInt8]("target ")
    text.append(target)
    text.append(" not reached")
    if let ago {
      text.append(" ")
      text.append(span: ago)
      text.append(" ago")
    }
    text.append(": ")
    text.append(cause.name)
    text.append(": ")
    text.append(cause.advice)
    text.append("\n")
    return text
  }
}
