// The daemon's start: a checklist.
import Core
import Linux

/// Runs the program with the process's arguments and returns its exit code.
public func run(
  _ count: Int32, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
) -> Int32 {
  0
}
