// How tests wait: for a condition and with a deadline, never for a span of time that should
// suffice.
import Foundation

/// Long enough for anything that is going to happen on a busy machine.
let patience: Duration = .seconds(20)

/// A moment on the monotonic clock after which waiting is a failure.
struct Deadline {
  private let end: ContinuousClock.Instant

  init(after span: Duration = patience) { end = .now + span }

  var hasPassed: Bool { ContinuousClock.now >= end }
  var asDate: Date { Date(timeIntervalSinceNow: max(0, (end - .now) / .seconds(1))) }
}

/// What a test says when the world did not do what was waited for.
struct Failure: Error, CustomStringConvertible {
  let description: String
  /// The error number where a system call failed.
  var code: Int32?

  init(_ description: String) { self.description = description }
}

/// Looks again and again until `condition` holds. For what announces itself in no other way, such
/// as another process's descriptors.
func eventually(
  _ what: @autoclosure () -> String, within span: Duration = patience,
  _ condition: () throws -> Bool
) throws {
  let deadline = Deadline(after: span)
  var interval: UInt32 = 500
  while try !condition() {
    if deadline.hasPassed { throw Failure("never happened within \(span): \(what())") }
    usleep(interval)
    interval = min(interval * 2, 20_000)
  }
}

/// Work on a thread of its own. Its result, or what it threw, is had with `result()`.
final class Background<Result: Sendable>: @unchecked Sendable {
  private let name: String
  private let condition = NSCondition()
  private var outcome: Swift.Result<Result, any Error>?

  init(_ name: String, _ work: @escaping @Sendable () throws -> Result) {
    self.name = name
    let thread = Thread { [self] in
      let outcome = Swift.Result { try work() }
      condition.withLock {
        self.outcome = outcome
        condition.broadcast()
      }
    }
    thread.stackSize = 512 * 1024
    thread.start()
  }

  var isDone: Bool { condition.withLock { outcome != nil } }

  @discardableResult
  func result(within span: Duration = patience * 2) throws -> Result {
    let deadline = Deadline(after: span)
    return try condition.withLock {
      while outcome == nil {
        guard condition.wait(until: deadline.asDate) || outcome != nil else {
          throw Failure("\(name): not done within \(span)")
        }
      }
      return try outcome!.get()
    }
  }
}

/// Runs all works at the same time, waits for all of them, and throws the first failure.
func atTheSameTime(_ works: (@Sendable () throws -> Void)...) throws {
  try atTheSameTime(works)
}

func atTheSameTime(_ works: [@Sendable () throws -> Void]) throws {
  let running = works.enumerated().map { Background("work \($0.offset)", $0.element) }
  let outcomes = running.map { work in Swift.Result { try work.result() } }
  for outcome in outcomes { try outcome.get() }
}

/// A value that several threads share.
final class Shared<Value>: @unchecked Sendable {
  private let lock = NSLock()
  private var stored: Value

  init(_ value: Value) { stored = value }

  var value: Value { lock.withLock { stored } }
  func update(_ change: (inout Value) -> Void) { lock.withLock { change(&stored) } }
}
